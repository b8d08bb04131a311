/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_PREEMPT_H
#define TDXFUZZ_LINUX_PREEMPT_H
#include <tdxfuzz/runtime.h>

/* Other CPUs run at any step all the same; but nothing may sleep until it is enabled again. */
#define preempt_disable() tdxc_cannot_sleep(1, "preempt_disable()")
#define preempt_enable() tdxc_cannot_sleep(-1, "preempt_disable()")
#define preempt_disable_notrace preempt_disable
#define preempt_enable_notrace preempt_enable
/* What is inside stays on its CPU, and may sleep. */
#define migrate_disable() tdxc_cannot_sleep(1, "migrate_disable()")
#define migrate_enable() tdxc_cannot_sleep(-1, "migrate_disable()")
/* Softirqs are all the interrupts that there are. */
#define local_irq_disable() tdxc_interrupts(1)
#define local_irq_enable() tdxc_interrupts(-1)
#define local_irq_save(flags) ((void)((flags) = 0), tdxc_interrupts(1))
#define local_irq_restore(flags) ((void)(flags), tdxc_interrupts(-1))
#define local_bh_disable() tdxc_interrupts(1)
#define local_bh_enable() tdxc_interrupts(-1)

#endif
