/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_RCUPDATE_H
#define TDXFUZZ_LINUX_RCUPDATE_H
#include <asm/barrier.h>
#include <linux/cleanup.h>
#include <linux/lockdep.h>
#include <linux/preempt.h>

/* Readers only: what waits for readers (synchronize_rcu, call_rcu, kfree_rcu) is not modelled. */
#define rcu_read_lock() tdxc_cannot_sleep(1, "rcu_read_lock()")
#define rcu_read_unlock() tdxc_cannot_sleep(-1, "rcu_read_lock()")
#define rcu_dereference(p)                                                                         \
	({                                                                                         \
		__typeof__(p) __dereferenced = READ_ONCE(p);                                       \
		tdxc_depends(&(p));                                                                \
		__dereferenced;                                                                    \
	})
#define rcu_dereference_check(p, condition) rcu_dereference(p)
#define rcu_dereference_raw(p) rcu_dereference(p)
#define rcu_dereference_protected(p, condition) (p)
#define rcu_access_pointer(p) READ_ONCE(p)
#define rcu_assign_pointer(p, v) smp_store_release(&(p), v)
#define RCU_INIT_POINTER(p, v) WRITE_ONCE(p, v)

DEFINE_LOCK_GUARD_0(rcu, rcu_read_lock(), rcu_read_unlock())

#endif
