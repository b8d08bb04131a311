/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_ATOMIC_H
#define TDXFUZZ_LINUX_ATOMIC_H
#include <asm/cmpxchg.h>
#include <linux/types.h>

#define ATOMIC_INIT(i) { (i) }
#define ATOMIC64_INIT(i) { (i) }

/* Each function is one step, also those that the kernel builds from a loop of cmpxchg. */
#define __TDXC_DO(op, order, v, a, b)                                                              \
	tdxc_atomic(op, order, &(v)->counter, sizeof((v)->counter), (tdxc_s64)(a), (tdxc_s64)(b))

#define __TDXC_ORDERS(type, returns, name, op, parameters, v, a, b)                                \
	static __always_inline __maybe_unused returns name parameters                              \
	{                                                                                          \
		return (returns)__TDXC_DO(op, TDXC_FULL, v, a, b);                                 \
	}                                                                                          \
	static __always_inline __maybe_unused returns name##_relaxed parameters                    \
	{                                                                                          \
		return (returns)__TDXC_DO(op, TDXC_RELAXED, v, a, b);                              \
	}                                                                                          \
	static __always_inline __maybe_unused returns name##_acquire parameters                    \
	{                                                                                          \
		return (returns)__TDXC_DO(op, TDXC_ACQUIRE, v, a, b);                              \
	}                                                                                          \
	static __always_inline __maybe_unused returns name##_release parameters                    \
	{                                                                                          \
		return (returns)__TDXC_DO(op, TDXC_RELEASE, v, a, b);                              \
	}

#define __TDXC_PLAIN(returns, name, op, order, parameters, v, a, b)                                \
	static __always_inline __maybe_unused returns name parameters                              \
	{                                                                                          \
		return (returns)__TDXC_DO(op, order, v, a, b);                                     \
	}

#define __TDXC_FAMILY(at, t, i)                                                                    \
	__TDXC_PLAIN(i, at##_read, TDXC_OP_READ, TDXC_RELAXED, (const t *v), (t *)(unsigned long)v, 0, 0)  \
	__TDXC_PLAIN(i, at##_read_acquire, TDXC_OP_READ, TDXC_ACQUIRE, (const t *v),               \
		     (t *)(unsigned long)v, 0, 0)                                                  \
	__TDXC_PLAIN(void, at##_set, TDXC_OP_SET, TDXC_RELAXED, (t *v, i n), v, n, 0)              \
	__TDXC_PLAIN(void, at##_set_release, TDXC_OP_SET, TDXC_RELEASE, (t *v, i n), v, n, 0)      \
	__TDXC_PLAIN(void, at##_add, TDXC_OP_ADD, TDXC_RELAXED, (i n, t *v), v, n, 0)              \
	__TDXC_PLAIN(void, at##_sub, TDXC_OP_ADD, TDXC_RELAXED, (i n, t *v), v, -n, 0)             \
	__TDXC_PLAIN(void, at##_inc, TDXC_OP_ADD, TDXC_RELAXED, (t *v), v, 1, 0)                   \
	__TDXC_PLAIN(void, at##_dec, TDXC_OP_ADD, TDXC_RELAXED, (t *v), v, -1, 0)                  \
	__TDXC_PLAIN(void, at##_and, TDXC_OP_FETCH_AND, TDXC_RELAXED, (i n, t *v), v, n, 0)        \
	__TDXC_PLAIN(void, at##_or, TDXC_OP_FETCH_OR, TDXC_RELAXED, (i n, t *v), v, n, 0)          \
	__TDXC_PLAIN(void, at##_xor, TDXC_OP_FETCH_XOR, TDXC_RELAXED, (i n, t *v), v, n, 0)        \
	__TDXC_PLAIN(void, at##_andnot, TDXC_OP_FETCH_ANDNOT, TDXC_RELAXED, (i n, t *v), v, n, 0)  \
	__TDXC_ORDERS(t, i, at##_add_return, TDXC_OP_ADD_RETURN, (i n, t *v), v, n, 0)             \
	__TDXC_ORDERS(t, i, at##_sub_return, TDXC_OP_ADD_RETURN, (i n, t *v), v, -n, 0)            \
	__TDXC_ORDERS(t, i, at##_inc_return, TDXC_OP_ADD_RETURN, (t *v), v, 1, 0)                  \
	__TDXC_ORDERS(t, i, at##_dec_return, TDXC_OP_ADD_RETURN, (t *v), v, -1, 0)                 \
	__TDXC_ORDERS(t, i, at##_fetch_add, TDXC_OP_FETCH_ADD, (i n, t *v), v, n, 0)               \
	__TDXC_ORDERS(t, i, at##_fetch_sub, TDXC_OP_FETCH_ADD, (i n, t *v), v, -n, 0)              \
	__TDXC_ORDERS(t, i, at##_fetch_inc, TDXC_OP_FETCH_ADD, (t *v), v, 1, 0)                    \
	__TDXC_ORDERS(t, i, at##_fetch_dec, TDXC_OP_FETCH_ADD, (t *v), v, -1, 0)                   \
	__TDXC_ORDERS(t, i, at##_fetch_and, TDXC_OP_FETCH_AND, (i n, t *v), v, n, 0)               \
	__TDXC_ORDERS(t, i, at##_fetch_or, TDXC_OP_FETCH_OR, (i n, t *v), v, n, 0)                 \
	__TDXC_ORDERS(t, i, at##_fetch_xor, TDXC_OP_FETCH_XOR, (i n, t *v), v, n, 0)               \
	__TDXC_ORDERS(t, i, at##_fetch_andnot, TDXC_OP_FETCH_ANDNOT, (i n, t *v), v, n, 0)         \
	__TDXC_ORDERS(t, i, at##_xchg, TDXC_OP_XCHG, (t *v, i n), v, n, 0)                         \
	__TDXC_ORDERS(t, i, at##_cmpxchg, TDXC_OP_CMPXCHG, (t *v, i o, i n), v, o, n)              \
	__TDXC_PLAIN(bool, at##_dec_and_test, TDXC_OP_DEC_AND_TEST, TDXC_FULL, (t *v), v, -1, 0)   \
	__TDXC_PLAIN(bool, at##_inc_and_test, TDXC_OP_INC_AND_TEST, TDXC_FULL, (t *v), v, 1, 0)    \
	__TDXC_PLAIN(bool, at##_sub_and_test, TDXC_OP_SUB_AND_TEST, TDXC_FULL, (i n, t *v), v, -n, 0) \
	__TDXC_PLAIN(bool, at##_add_negative, TDXC_OP_ADD_NEGATIVE, TDXC_FULL, (i n, t *v), v, n, 0)  \
	__TDXC_PLAIN(bool, at##_add_unless, TDXC_OP_ADD_UNLESS, TDXC_FULL, (t *v, i n, i u), v, n, u) \
	__TDXC_PLAIN(i, at##_fetch_add_unless, TDXC_OP_FETCH_ADD_UNLESS, TDXC_FULL,                \
		     (t *v, i n, i u), v, n, u)                                                    \
	__TDXC_PLAIN(bool, at##_inc_not_zero, TDXC_OP_ADD_UNLESS, TDXC_FULL, (t *v), v, 1, 0)      \
	__TDXC_PLAIN(bool, at##_inc_unless_negative, TDXC_OP_INC_UNLESS_NEGATIVE, TDXC_FULL,       \
		     (t *v), v, 1, 0)                                                              \
	__TDXC_PLAIN(bool, at##_dec_unless_positive, TDXC_OP_DEC_UNLESS_POSITIVE, TDXC_FULL,       \
		     (t *v), v, -1, 0)                                                             \
	__TDXC_PLAIN(i, at##_dec_if_positive, TDXC_OP_DEC_IF_POSITIVE, TDXC_FULL, (t *v), v, -1, 0) \
	static __always_inline __maybe_unused bool at##_try_cmpxchg(t *v, i *o, i n)               \
	{                                                                                          \
		i was = *o, now = at##_cmpxchg(v, was, n);                                         \
		if (now != was)                                                                    \
			*o = now;                                                                  \
		return now == was;                                                                 \
	}                                                                                          \
	static __always_inline __maybe_unused bool at##_try_cmpxchg_acquire(t *v, i *o, i n)       \
	{                                                                                          \
		i was = *o, now = at##_cmpxchg_acquire(v, was, n);                                 \
		if (now != was)                                                                    \
			*o = now;                                                                  \
		return now == was;                                                                 \
	}                                                                                          \
	static __always_inline __maybe_unused bool at##_try_cmpxchg_release(t *v, i *o, i n)       \
	{                                                                                          \
		i was = *o, now = at##_cmpxchg_release(v, was, n);                                 \
		if (now != was)                                                                    \
			*o = now;                                                                  \
		return now == was;                                                                 \
	}                                                                                          \
	static __always_inline __maybe_unused bool at##_try_cmpxchg_relaxed(t *v, i *o, i n)       \
	{                                                                                          \
		i was = *o, now = at##_cmpxchg_relaxed(v, was, n);                                 \
		if (now != was)                                                                    \
			*o = now;                                                                  \
		return now == was;                                                                 \
	}

__TDXC_FAMILY(atomic, atomic_t, int)
__TDXC_FAMILY(atomic64, atomic64_t, s64)

typedef atomic64_t atomic_long_t;
#define ATOMIC_LONG_INIT(i) ATOMIC64_INIT(i)
__TDXC_FAMILY(atomic_long, atomic_long_t, long)

#endif
