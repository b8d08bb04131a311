/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_SRCU_H
#define TDXFUZZ_LINUX_SRCU_H
#include <linux/rcupdate.h>

/*
 * As RCU, with readers of its own, which may sleep. Of each CPU: odd while it reads. There are no
 * callbacks.
 */
struct srcu_struct {
	atomic_t reader[NR_CPUS];
	int depth[NR_CPUS];
};

#define DEFINE_SRCU(name) struct srcu_struct name
#define DEFINE_STATIC_SRCU(name) static struct srcu_struct name
#define init_srcu_struct(ssp) (*(ssp) = (struct srcu_struct){}, 0)
#define cleanup_srcu_struct(ssp) ((void)(ssp))

static __always_inline __maybe_unused int srcu_read_lock(struct srcu_struct *ssp)
{
	if (!ssp->depth[tdxc_cpu()]++)
		atomic_inc_return(&ssp->reader[tdxc_cpu()]);
	return 0;
}

static __always_inline __maybe_unused void srcu_read_unlock(struct srcu_struct *ssp, int idx)
{
	(void)idx;
	if (!--ssp->depth[tdxc_cpu()])
		atomic_inc_return(&ssp->reader[tdxc_cpu()]);
}

static __maybe_unused void synchronize_srcu(struct srcu_struct *ssp)
{
	tdxc_might_sleep("synchronize_srcu()");
	for (int cpu = 0; cpu < tdxc_cpus(); cpu++) {
		int seen = atomic_fetch_add(0, &ssp->reader[cpu]);

		while ((seen & 1) && atomic_read_acquire(&ssp->reader[cpu]) == seen)
			cpu_relax();
	}
}

#define synchronize_srcu_expedited synchronize_srcu
#define srcu_dereference(p, ssp) ((void)(ssp), rcu_dereference(p))
#define srcu_dereference_check(p, ssp, condition) srcu_dereference(p, ssp)

#endif
