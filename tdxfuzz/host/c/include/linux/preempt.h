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
/* Softirqs are all the interrupts that there are. Disabling softirqs counts, as in the kernel. */
#define __TDXC_INTERRUPTS_ON 0x200ul
#define __tdxc_irq_save() (tdxc_interrupts(1) ? 0 : __TDXC_INTERRUPTS_ON)
#define __tdxc_irq_restore(flags) ((void)tdxc_interrupts(!((flags) & __TDXC_INTERRUPTS_ON)))
#define local_irq_disable() ((void)tdxc_interrupts(1))
#define local_irq_enable() ((void)tdxc_interrupts(0))
#define local_irq_save(flags) ((void)((flags) = __tdxc_irq_save()))
#define local_irq_restore(flags) __tdxc_irq_restore(flags)
#define irqs_disabled() tdxc_is_off(TDXC_IRQS_OFF)
#define local_bh_disable() tdxc_softirqs(1)
#define local_bh_enable() tdxc_softirqs(-1)
#define in_interrupt() tdxc_is_off(TDXC_SOFTIRQS_OFF)
#define preemptible() (!tdxc_is_off(TDXC_PREEMPTION_OFF))

#endif
