/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_CPUMASK_H
#define TDXFUZZ_LINUX_CPUMASK_H
#include <linux/smp.h>

/* All CPUs that a world can have; those that a case has none of hold what init left. */
#define nr_cpu_ids NR_CPUS
#define num_online_cpus() NR_CPUS
#define num_possible_cpus() NR_CPUS
#define for_each_possible_cpu(cpu) for ((cpu) = 0; (cpu) < NR_CPUS; (cpu)++)
#define for_each_online_cpu(cpu) for_each_possible_cpu(cpu)
#define for_each_present_cpu(cpu) for_each_possible_cpu(cpu)

#endif
