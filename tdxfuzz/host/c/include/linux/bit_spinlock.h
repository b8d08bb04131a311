/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_BIT_SPINLOCK_H
#define TDXFUZZ_LINUX_BIT_SPINLOCK_H
#include <linux/bitops.h>
#include <linux/preempt.h>
#include <linux/processor.h>

/* Not fair: whoever comes first takes the bit. Nothing may sleep while it is held. */
static __always_inline __maybe_unused int bit_spin_trylock(int bitnum, unsigned long *address)
{
	preempt_disable();
	if (!test_and_set_bit_lock(bitnum, address))
		return 1;
	preempt_enable();
	return 0;
}

static __always_inline __maybe_unused void bit_spin_lock(int bitnum, unsigned long *address)
{
	while (!bit_spin_trylock(bitnum, address))
		cpu_relax();
}

static __always_inline __maybe_unused void bit_spin_unlock(int bitnum, unsigned long *address)
{
	clear_bit_unlock(bitnum, address);
	preempt_enable();
}

static __always_inline __maybe_unused int bit_spin_is_locked(int bitnum, unsigned long *address)
{
	return test_bit(bitnum, address);
}

#define __bit_spin_unlock bit_spin_unlock

#endif
