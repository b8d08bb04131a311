/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_BITOPS_H
#define TDXFUZZ_LINUX_BITOPS_H
#include <asm/cmpxchg.h>
#include <linux/bits.h>

#define __TDXC_WORD(nr, address) (&(address)[BIT_WORD(nr)])

static __always_inline __maybe_unused void set_bit(long nr, unsigned long *address)
{
	__atomic_fetch_or(__TDXC_WORD(nr, address), BIT_MASK(nr), __ATOMIC_RELAXED);
}

static __always_inline __maybe_unused void clear_bit(long nr, unsigned long *address)
{
	__atomic_fetch_and(__TDXC_WORD(nr, address), ~BIT_MASK(nr), __ATOMIC_RELAXED);
}

static __always_inline __maybe_unused void change_bit(long nr, unsigned long *address)
{
	__atomic_fetch_xor(__TDXC_WORD(nr, address), BIT_MASK(nr), __ATOMIC_RELAXED);
}

static __always_inline __maybe_unused void clear_bit_unlock(long nr, unsigned long *address)
{
	__atomic_fetch_and(__TDXC_WORD(nr, address), ~BIT_MASK(nr), __ATOMIC_RELEASE);
}

static __always_inline __maybe_unused bool test_and_set_bit(long nr, unsigned long *address)
{
	return __atomic_fetch_or(__TDXC_WORD(nr, address), BIT_MASK(nr), __ATOMIC_SEQ_CST) &
	       BIT_MASK(nr);
}

static __always_inline __maybe_unused bool test_and_clear_bit(long nr, unsigned long *address)
{
	return __atomic_fetch_and(__TDXC_WORD(nr, address), ~BIT_MASK(nr), __ATOMIC_SEQ_CST) &
	       BIT_MASK(nr);
}

static __always_inline __maybe_unused bool test_and_set_bit_lock(long nr, unsigned long *address)
{
	return __atomic_fetch_or(__TDXC_WORD(nr, address), BIT_MASK(nr), __ATOMIC_ACQUIRE) &
	       BIT_MASK(nr);
}

static __always_inline __maybe_unused bool test_bit(long nr, const unsigned long *address)
{
	return READ_ONCE(*__TDXC_WORD(nr, address)) & BIT_MASK(nr);
}

/* Plain, as in the kernel. */
#define __set_bit(nr, address) ((void)(*__TDXC_WORD(nr, address) |= BIT_MASK(nr)))
#define __clear_bit(nr, address) ((void)(*__TDXC_WORD(nr, address) &= ~BIT_MASK(nr)))
#define hweight64(w) __builtin_popcountll(w)
#define fls64(w) ((w) ? 64 - __builtin_clzll(w) : 0)
#define __ffs(w) ((unsigned long)__builtin_ctzl(w))
#define DECLARE_BITMAP(name, bits) unsigned long name[((bits) + 63) / 64]

#endif
