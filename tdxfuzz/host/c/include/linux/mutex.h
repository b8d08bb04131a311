/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_MUTEX_H
#define TDXFUZZ_LINUX_MUTEX_H
#include <linux/cleanup.h>
#include <linux/lockdep.h>

/* Fair, and nobody spins. */
struct mutex { int tdxc_lock; };

#define __MUTEX_INITIALIZER(name) { 0 }
#define DEFINE_MUTEX(name) struct mutex name = __MUTEX_INITIALIZER(name)
#define mutex_init(lock) ((void)(lock))
#define mutex_destroy(lock) ((void)(lock))

static __always_inline __maybe_unused void mutex_lock(struct mutex *lock)
{
	tdxc_lock(lock, TDXC_MUTEX);
}

static __always_inline __maybe_unused int mutex_lock_interruptible(struct mutex *lock)
{
	tdxc_lock(lock, TDXC_MUTEX);
	return 0;
}

static __always_inline __maybe_unused int mutex_trylock(struct mutex *lock)
{
	return tdxc_lock(lock, TDXC_MUTEX | TDXC_TRY);
}

static __always_inline __maybe_unused void mutex_unlock(struct mutex *lock)
{
	tdxc_unlock(lock, TDXC_MUTEX);
}

#define mutex_lock_killable mutex_lock_interruptible
#define mutex_lock_nested(lock, subclass) mutex_lock(lock)
/* By anybody: a step. */
#define mutex_is_locked(lock) tdxc_is_locked(lock, TDXC_MUTEX, 0)

DEFINE_GUARD(mutex, struct mutex *, mutex_lock(_T), mutex_unlock(_T))

#endif
