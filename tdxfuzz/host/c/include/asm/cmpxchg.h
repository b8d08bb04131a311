/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_ASM_CMPXCHG_H
#define TDXFUZZ_ASM_CMPXCHG_H
#include <asm/barrier.h>

#define __tdxc_xchg(p, v, order) __atomic_exchange_n(p, v, order)
#define xchg(p, v) __tdxc_xchg(p, v, __ATOMIC_SEQ_CST)
#define xchg_relaxed(p, v) __tdxc_xchg(p, v, __ATOMIC_RELAXED)
#define xchg_acquire(p, v) __tdxc_xchg(p, v, __ATOMIC_ACQUIRE)
#define xchg_release(p, v) __tdxc_xchg(p, v, __ATOMIC_RELEASE)

#define __tdxc_cmpxchg(p, o, n, order)                                                             \
	({                                                                                         \
		__typeof__(*(p)) __expected = (o);                                                 \
		__atomic_compare_exchange_n(p, &__expected, n, 0, order, __ATOMIC_RELAXED);        \
		__expected;                                                                        \
	})
#define cmpxchg(p, o, n) __tdxc_cmpxchg(p, o, n, __ATOMIC_SEQ_CST)
#define cmpxchg_relaxed(p, o, n) __tdxc_cmpxchg(p, o, n, __ATOMIC_RELAXED)
#define cmpxchg_acquire(p, o, n) __tdxc_cmpxchg(p, o, n, __ATOMIC_ACQUIRE)
#define cmpxchg_release(p, o, n) __tdxc_cmpxchg(p, o, n, __ATOMIC_RELEASE)
#define cmpxchg64 cmpxchg
#define try_cmpxchg(p, o, n)                                                                       \
	__atomic_compare_exchange_n(p, o, n, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)
#define try_cmpxchg64 try_cmpxchg

#endif
