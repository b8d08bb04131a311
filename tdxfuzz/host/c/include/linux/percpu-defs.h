/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_PERCPU_DEFS_H
#define TDXFUZZ_LINUX_PERCPU_DEFS_H
#include <asm/barrier.h>
#include <linux/smp.h>

/*
 * One for each CPU. A CPU stays the same during a call: nothing migrates. So where something else
 * than one instruction is done with this CPU's, and it might, there is a warning.
 */
#define DEFINE_PER_CPU(type, name) __typeof__(type) name[NR_CPUS]
#define DECLARE_PER_CPU(type, name) extern __typeof__(type) name[NR_CPUS]
#define DEFINE_PER_CPU_SHARED_ALIGNED DEFINE_PER_CPU
#define per_cpu_ptr(p, cpu) (&(*(p))[0] + 0 * sizeof(*(p)) + (cpu))
#define per_cpu(name, cpu) ((name)[cpu])
#define raw_cpu_ptr(p) per_cpu_ptr(p, tdxc_cpu())
#define this_cpu_ptr(p) (tdxc_stays("this_cpu_ptr()"), raw_cpu_ptr(p))
#define get_cpu_var(name) (*(preempt_disable(), raw_cpu_ptr(&(name))))
#define put_cpu_var(name) preempt_enable()
#define this_cpu_read(name) READ_ONCE((name)[tdxc_cpu()])
#define this_cpu_write(name, v) WRITE_ONCE((name)[tdxc_cpu()], v)
#define this_cpu_add(name, v) ((void)__atomic_fetch_add(&(name)[tdxc_cpu()], v, __ATOMIC_RELAXED))
#define this_cpu_inc(name) this_cpu_add(name, 1)
#define this_cpu_dec(name) this_cpu_add(name, -1)
#define __this_cpu_read(name) (tdxc_stays("__this_cpu_read()"), (name)[tdxc_cpu()])
#define __this_cpu_add(name, v)                                                                    \
	(tdxc_stays("__this_cpu_add()"), (void)((name)[tdxc_cpu()] += (v)))
#define __this_cpu_write(name, v)                                                                  \
	(tdxc_stays("__this_cpu_write()"), (void)((name)[tdxc_cpu()] = (v)))
#define __this_cpu_inc(name) __this_cpu_add(name, 1)
#define __this_cpu_dec(name) __this_cpu_add(name, -1)
#define raw_cpu_read(name) ((name)[tdxc_cpu()])
#define raw_cpu_write(name, v) ((void)((name)[tdxc_cpu()] = (v)))

#endif
