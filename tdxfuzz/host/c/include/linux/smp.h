/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_SMP_H
#define TDXFUZZ_LINUX_SMP_H
#include <linux/preempt.h>

#define NR_CPUS 8
/* A warning where the caller might be moved to another CPU; here nothing is. */
#define smp_processor_id() (tdxc_stays("smp_processor_id()"), tdxc_cpu())
#define raw_smp_processor_id() tdxc_cpu()
#define get_cpu() (preempt_disable(), tdxc_cpu())
#define put_cpu() preempt_enable()

#endif
