/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_ASM_BARRIER_H
#define TDXFUZZ_ASM_BARRIER_H
#include <linux/compiler.h>

/* Steps are sequentially consistent. What these order, only the race check can tell. */
#define smp_mb() tdxc_fence(TDXC_FULL)
#define smp_rmb() tdxc_fence(TDXC_ACQUIRE)
#define smp_wmb() tdxc_fence(TDXC_RELEASE)
#define mb() smp_mb()
#define rmb() smp_rmb()
#define wmb() smp_wmb()
#define smp_mb__before_atomic() smp_mb()
#define smp_mb__after_atomic() smp_mb()
#define smp_load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define smp_store_mb(x, v) do { WRITE_ONCE(x, v); smp_mb(); } while (0)
#define smp_acquire__after_ctrl_dep() smp_rmb()

#endif
