/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_COMPILER_H
#define TDXFUZZ_LINUX_COMPILER_H
#include <linux/compiler_types.h>
#include <linux/export.h>
#include <linux/types.h>
#include <tdxfuzz/runtime.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define unreachable() __builtin_unreachable()
#define __stringify_1(x...) #x
#define __stringify(x...) __stringify_1(x)
#define ___PASTE(a, b) a##b
#define __PASTE(a, b) ___PASTE(a, b)
#define __UNIQUE_ID(prefix) __PASTE(__PASTE(prefix, _), __COUNTER__)

/* A step, marked: it races with plain accesses only. */
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) do { *(volatile __typeof__(x) *)&(x) = (v); } while (0)

/* For the compiler alone: no other CPU can tell. */
#define barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* Races of what is inside are meant to be: each access is a step, as if it were marked. */
#define data_race(x)                                                                               \
	({                                                                                         \
		tdxc_races_on_purpose(1);                                                          \
		__auto_type __data_race = (x);                                                     \
		tdxc_races_on_purpose(0);                                                          \
		__data_race;                                                                       \
	})
#define ASSERT_EXCLUSIVE_WRITER(x) ((void)&(x))
#define ASSERT_EXCLUSIVE_ACCESS(x) ((void)&(x))
#define OPTIMIZER_HIDE_VAR(x) ((void)(x))
#define RELOC_HIDE(p, off) ((__typeof__(p))((unsigned long)(p) + (off)))

#endif
