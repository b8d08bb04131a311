/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_PROCESSOR_H
#define TDXFUZZ_LINUX_PROCESSOR_H
#include <linux/compiler.h>

/* The head of a loop that waits: others go first. Without it such a loop never ends here. */
#define cpu_relax() tdxc_relax()
#define cpu_cond_resched() tdxc_relax()
#define cond_resched() (tdxc_might_sleep("cond_resched()"), tdxc_relax())
#define udelay(usecs) ((void)(usecs), tdxc_relax())

#endif
