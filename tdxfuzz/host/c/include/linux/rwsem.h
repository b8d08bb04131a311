/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_RWSEM_H
#define TDXFUZZ_LINUX_RWSEM_H
#include <linux/cleanup.h>
#include <linux/lockdep.h>

/* Fair, and nobody spins: whoever waits for it sleeps, and whoever holds it may. */
struct rw_semaphore { int tdxc_lock; };

#define __RWSEM_INITIALIZER(name) { 0 }
#define DECLARE_RWSEM(name) struct rw_semaphore name = __RWSEM_INITIALIZER(name)
#define init_rwsem(sem) ((void)(sem))

#define __TDXC_RWSEM(name, how)                                                                    \
	static __always_inline __maybe_unused void down_##name(struct rw_semaphore *sem)           \
	{                                                                                          \
		tdxc_might_sleep("down_" #name "()");                                              \
		tdxc_lock(sem, how);                                                               \
	}                                                                                          \
	static __always_inline __maybe_unused int down_##name##_trylock(struct rw_semaphore *sem)  \
	{                                                                                          \
		return tdxc_lock(sem, (how) | TDXC_TRY);                                           \
	}                                                                                          \
	static __always_inline __maybe_unused void up_##name(struct rw_semaphore *sem)             \
	{                                                                                          \
		tdxc_unlock(sem, how);                                                             \
	}

__TDXC_RWSEM(read, TDXC_SLEEPS | TDXC_READ)
__TDXC_RWSEM(write, TDXC_SLEEPS | TDXC_WRITE)

/* By anybody: a step. */
#define rwsem_is_locked(sem) tdxc_is_locked(sem, TDXC_SLEEPS | TDXC_READ, 0)
#define rwsem_is_contended(sem) tdxc_is_locked(sem, TDXC_SLEEPS | TDXC_READ, 1)

DEFINE_GUARD(rwsem_read, struct rw_semaphore *, down_read(_T), up_read(_T))
DEFINE_GUARD(rwsem_write, struct rw_semaphore *, down_write(_T), up_write(_T))

#endif
