/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_SPINLOCK_H
#define TDXFUZZ_LINUX_SPINLOCK_H
#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/lockdep.h>
#include <linux/preempt.h>

/* Fair, as the kernel's queued locks are. Taking one and giving it up are a step each. */
typedef struct spinlock { int tdxc_lock; } spinlock_t;
typedef struct raw_spinlock { int tdxc_lock; } raw_spinlock_t;
typedef struct rwlock { int tdxc_lock; } rwlock_t;

#define __SPIN_LOCK_UNLOCKED(name) { 0 }
#define __RAW_SPIN_LOCK_UNLOCKED(name) { 0 }
#define __RW_LOCK_UNLOCKED(name) { 0 }
#define DEFINE_SPINLOCK(name) spinlock_t name = __SPIN_LOCK_UNLOCKED(name)
#define DEFINE_RAW_SPINLOCK(name) raw_spinlock_t name = __RAW_SPIN_LOCK_UNLOCKED(name)
#define DEFINE_RWLOCK(name) rwlock_t name = __RW_LOCK_UNLOCKED(name)
#define spin_lock_init(lock) ((void)(lock))
#define raw_spin_lock_init(lock) ((void)(lock))
#define rwlock_init(lock) ((void)(lock))

#define __TDXC_LOCKS(name, type, how)                                                              \
	static __always_inline __maybe_unused void name##_lock(type *lock)                         \
	{                                                                                          \
		tdxc_lock(lock, how);                                                              \
	}                                                                                          \
	static __always_inline __maybe_unused void name##_unlock(type *lock)                       \
	{                                                                                          \
		tdxc_unlock(lock, how);                                                            \
	}                                                                                          \
	static __always_inline __maybe_unused int name##_trylock(type *lock)                       \
	{                                                                                          \
		return tdxc_lock(lock, (how) | TDXC_TRY);                                          \
	}                                                                                          \
	static __always_inline __maybe_unused void name##_lock_irq(type *lock)                     \
	{                                                                                          \
		local_irq_disable();                                                               \
		tdxc_lock(lock, how);                                                              \
	}                                                                                          \
	static __always_inline __maybe_unused void name##_unlock_irq(type *lock)                   \
	{                                                                                          \
		tdxc_unlock(lock, how);                                                            \
		local_irq_enable();                                                                \
	}                                                                                          \
	static __always_inline __maybe_unused void name##_lock_bh(type *lock)                      \
	{                                                                                          \
		local_bh_disable();                                                                \
		tdxc_lock(lock, how);                                                              \
	}                                                                                          \
	static __always_inline __maybe_unused void name##_unlock_bh(type *lock)                    \
	{                                                                                          \
		tdxc_unlock(lock, how);                                                            \
		local_bh_enable();                                                                 \
	}                                                                                          \
	static __always_inline __maybe_unused unsigned long __##name##_lock_irqsave(type *lock)    \
	{                                                                                          \
		unsigned long flags = __tdxc_irq_save();                                           \
		                                                                                   \
		tdxc_lock(lock, how);                                                              \
		return flags;                                                                      \
	}                                                                                          \
	static __always_inline __maybe_unused void name##_unlock_irqrestore(type *lock,            \
									    unsigned long flags)   \
	{                                                                                          \
		tdxc_unlock(lock, how);                                                            \
		__tdxc_irq_restore(flags);                                                         \
	}

__TDXC_LOCKS(spin, spinlock_t, TDXC_SPIN)
__TDXC_LOCKS(raw_spin, raw_spinlock_t, TDXC_SPIN)
__TDXC_LOCKS(read, rwlock_t, TDXC_READ)
__TDXC_LOCKS(write, rwlock_t, TDXC_WRITE)

#define spin_lock_irqsave(lock, flags) ((flags) = __spin_lock_irqsave(lock))
#define raw_spin_lock_irqsave(lock, flags) ((flags) = __raw_spin_lock_irqsave(lock))
#define read_lock_irqsave(lock, flags) ((flags) = __read_lock_irqsave(lock))
#define write_lock_irqsave(lock, flags) ((flags) = __write_lock_irqsave(lock))
#define spin_lock_nested(lock, subclass) spin_lock(lock)
#define assert_spin_locked(lock)                                                                   \
	do {                                                                                       \
		if (!spin_is_locked(lock))                                                         \
			tdxc_bug("assert_spin_locked(" #lock ")", __FILE__, __LINE__);             \
	} while (0)
/* By anybody: a step. */
#define spin_is_locked(lock) tdxc_is_locked(lock, TDXC_SPIN, 0)
#define spin_is_contended(lock) tdxc_is_locked(lock, TDXC_SPIN, 1)
#define raw_spin_is_locked(lock) tdxc_is_locked(lock, TDXC_SPIN, 0)
#define rwlock_is_contended(lock) tdxc_is_locked(lock, TDXC_READ, 1)

/* Down to 0 only with the lock held, and then it stays held: three steps at most. */
static __always_inline __maybe_unused int atomic_dec_and_lock(atomic_t *v, spinlock_t *lock)
{
	if (atomic_add_unless(v, -1, 1))
		return 0;
	spin_lock(lock);
	if (atomic_dec_and_test(v))
		return 1;
	spin_unlock(lock);
	return 0;
}

DEFINE_LOCK_GUARD_1(spinlock, spinlock_t, spin_lock(_T->lock), spin_unlock(_T->lock))
DEFINE_LOCK_GUARD_1(spinlock_irq, spinlock_t, spin_lock_irq(_T->lock), spin_unlock_irq(_T->lock))
DEFINE_LOCK_GUARD_1(spinlock_bh, spinlock_t, spin_lock_bh(_T->lock), spin_unlock_bh(_T->lock))
DEFINE_LOCK_GUARD_1(spinlock_irqsave, spinlock_t, spin_lock_irqsave(_T->lock, _T->flags),
		    spin_unlock_irqrestore(_T->lock, _T->flags), unsigned long flags)
DEFINE_LOCK_GUARD_1(raw_spinlock, raw_spinlock_t, raw_spin_lock(_T->lock), raw_spin_unlock(_T->lock))
DEFINE_LOCK_GUARD_1(raw_spinlock_irqsave, raw_spinlock_t,
		    raw_spin_lock_irqsave(_T->lock, _T->flags),
		    raw_spin_unlock_irqrestore(_T->lock, _T->flags), unsigned long flags)
DEFINE_LOCK_GUARD_1(read_lock, rwlock_t, read_lock(_T->lock), read_unlock(_T->lock))
DEFINE_LOCK_GUARD_1(write_lock, rwlock_t, write_lock(_T->lock), write_unlock(_T->lock))

#endif
