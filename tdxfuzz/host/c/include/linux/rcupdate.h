/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_RCUPDATE_H
#define TDXFUZZ_LINUX_RCUPDATE_H
#include <asm/barrier.h>
#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/lockdep.h>
#include <linux/processor.h>
#include <linux/slab.h>
#include <linux/smp.h>

/* Of each CPU: odd while it reads. Entering and leaving the outermost section is a step each. */
static __maybe_unused atomic_t rcu_reader[NR_CPUS];
static __maybe_unused int __tdxc_rcu_depth[NR_CPUS];

static __always_inline __maybe_unused void rcu_read_lock(void)
{
	tdxc_cannot_sleep(1, "rcu_read_lock()");
	if (!__tdxc_rcu_depth[tdxc_cpu()]++)
		atomic_inc_return_acquire(&rcu_reader[tdxc_cpu()]);
}

static __always_inline __maybe_unused void rcu_read_unlock(void)
{
	if (!--__tdxc_rcu_depth[tdxc_cpu()])
		atomic_inc_return_release(&rcu_reader[tdxc_cpu()]);
	tdxc_cannot_sleep(-1, "rcu_read_lock()");
}

/* Waits for the readers of all CPUs, one CPU after the other, as they are when it asks. */
static __maybe_unused void __tdxc_grace_period(void)
{
	for (int cpu = 0; cpu < tdxc_cpus(); cpu++) {
		int seen = atomic_fetch_add(0, &rcu_reader[cpu]);

		while ((seen & 1) && atomic_read_acquire(&rcu_reader[cpu]) == seen)
			cpu_relax();
	}
}

static __always_inline __maybe_unused void synchronize_rcu(void)
{
	tdxc_might_sleep("synchronize_rcu()");
	__tdxc_grace_period();
}
#define synchronize_rcu_expedited synchronize_rcu
#define synchronize_net synchronize_rcu

/* Callbacks that were asked for and have not run. */
static __maybe_unused atomic_t __tdxc_rcu_callbacks;

typedef void (*rcu_callback_t)(struct rcu_head *head);

static __maybe_unused void __tdxc_rcu_callback(void *head, void *function)
{
	__tdxc_grace_period();
	tdxc_cannot_sleep(1, "an RCU callback");
	((rcu_callback_t)function)(head);
	tdxc_cannot_sleep(-1, "an RCU callback");
	atomic_fetch_dec(&__tdxc_rcu_callbacks);
}

static __maybe_unused void __tdxc_rcu_free(void *object, void *unused)
{
	(void)unused;
	__tdxc_grace_period();
	kfree(object);
	atomic_fetch_dec(&__tdxc_rcu_callbacks);
}

/*
 * The callback runs on this CPU when the function that tdxfuzz has called (get, put, …) returns,
 * and readers are gone. It never runs later, on another CPU, or as an interrupt.
 */
#define call_rcu(head, function)                                                                   \
	(atomic_inc(&__tdxc_rcu_callbacks),                                                        \
	 tdxc_after(__tdxc_rcu_callback, head, (void *)(function)))
#define call_rcu_hurry call_rcu
#define kfree_rcu_mightsleep(p) (synchronize_rcu(), kfree(p))
#define kfree_rcu(p, member)                                                                       \
	((void)sizeof((p)->member), atomic_inc(&__tdxc_rcu_callbacks),                             \
	 tdxc_after(__tdxc_rcu_free, (void *)(p), NULL))

/* Those of this CPU run here and now. Who waits for those of others goes round until they have. */
static __maybe_unused void rcu_barrier(void)
{
	tdxc_might_sleep("rcu_barrier()");
	tdxc_do_after();
	while (atomic_read_acquire(&__tdxc_rcu_callbacks))
		cpu_relax();
}

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
