/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_CLEANUP_H
#define TDXFUZZ_LINUX_CLEANUP_H
#include <linux/compiler.h>
#include <linux/err.h>

#define DEFINE_FREE(_name, _type, _free)                                                           \
	static __always_inline __maybe_unused void __free_##_name(void *p)                         \
	{                                                                                          \
		_type _T = *(_type *)p;                                                            \
		_free;                                                                             \
	}
#define __free(_name) __cleanup(__free_##_name)
#define no_free_ptr(p)                                                                             \
	({                                                                                         \
		__auto_type __kept = (p);                                                          \
		(p) = NULL;                                                                        \
		__kept;                                                                            \
	})
#define return_ptr(p) return no_free_ptr(p)
#define retain_and_null_ptr(p) ((void)no_free_ptr(p))

#define DEFINE_CLASS(_name, _type, _exit, _init, _init_args...)                                    \
	typedef _type class_##_name##_t;                                                           \
	static __always_inline __maybe_unused void class_##_name##_destructor(_type *p)            \
	{                                                                                          \
		_type _T = *p;                                                                     \
		_exit;                                                                             \
	}                                                                                          \
	static __always_inline __maybe_unused _type class_##_name##_constructor(_init_args)        \
	{                                                                                          \
		_type t = _init;                                                                   \
		return t;                                                                          \
	}
#define CLASS(_name, var)                                                                          \
	class_##_name##_t var __cleanup(class_##_name##_destructor) __maybe_unused =               \
		class_##_name##_constructor

#define DEFINE_GUARD(_name, _type, _lock, _unlock)                                                 \
	typedef _type class_##_name##_t;                                                           \
	static __always_inline __maybe_unused void class_##_name##_destructor(_type *p)            \
	{                                                                                          \
		_type _T = *p;                                                                     \
		if (_T)                                                                            \
			_unlock;                                                                   \
	}                                                                                          \
	static __always_inline __maybe_unused _type class_##_name##_constructor(_type _T)          \
	{                                                                                          \
		_lock;                                                                             \
		return _T;                                                                         \
	}

#define DEFINE_LOCK_GUARD_1(_name, _type, _lock, _unlock, ...)                                     \
	typedef struct {                                                                           \
		_type *lock;                                                                       \
		__VA_ARGS__;                                                                       \
	} class_##_name##_t;                                                                       \
	static __always_inline __maybe_unused void class_##_name##_destructor(                     \
		class_##_name##_t *_T)                                                             \
	{                                                                                          \
		if (_T->lock)                                                                      \
			_unlock;                                                                   \
	}                                                                                          \
	static __always_inline __maybe_unused class_##_name##_t class_##_name##_constructor(       \
		_type *l)                                                                          \
	{                                                                                          \
		class_##_name##_t _t = { .lock = l }, *_T = &_t;                                   \
		_lock;                                                                             \
		return _t;                                                                         \
	}

#define DEFINE_LOCK_GUARD_0(_name, _lock, _unlock, ...)                                            \
	typedef struct {                                                                           \
		void *lock;                                                                        \
		__VA_ARGS__;                                                                       \
	} class_##_name##_t;                                                                       \
	static __always_inline __maybe_unused void class_##_name##_destructor(                     \
		class_##_name##_t *_T)                                                             \
	{                                                                                          \
		if (_T->lock)                                                                      \
			_unlock;                                                                   \
	}                                                                                          \
	static __always_inline __maybe_unused class_##_name##_t class_##_name##_constructor(void)  \
	{                                                                                          \
		class_##_name##_t _t = { .lock = (void *)1 }, *_T = &_t;                           \
		(void)_T;                                                                          \
		_lock;                                                                             \
		return _t;                                                                         \
	}

#define guard(_name) CLASS(_name, __UNIQUE_ID(guard))
#define __scoped_guard(_name, _label, args...)                                                     \
	for (CLASS(_name, scope)(args), *__done = NULL; !__done; __done = (void *)1)
#define scoped_guard(_name, args...) __scoped_guard(_name, , args)

#endif
