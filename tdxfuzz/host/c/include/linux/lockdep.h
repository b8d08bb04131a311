/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_LOCKDEP_H
#define TDXFUZZ_LINUX_LOCKDEP_H
#include <linux/bug.h>
#include <linux/preempt.h>

/* Not held: the run ends, exit code 2, as a wrong call would. */
#define lockdep_assert_held(lock) tdxc_assert_held(lock, 0)
#define lockdep_assert_held_write(lock) tdxc_assert_held(lock, TDXC_WRITE)
#define lockdep_assert_held_read(lock) tdxc_assert_held(lock, TDXC_READ)
#define lockdep_assert_held_once(lock) tdxc_assert_held(lock, 0)
#define lockdep_assert_not_held(lock) ((void)WARN_ON(tdxc_is_held(lock, 0)))
#define lockdep_is_held(lock) tdxc_is_held(lock, 0)
#define lockdep_set_class(lock, key) ((void)(lock))
#define lockdep_assert(condition) ((void)WARN_ON(!(condition)))
#define lockdep_assert_preemption_disabled() ((void)WARN_ON(preemptible()))
#define lockdep_assert_preemption_enabled() ((void)WARN_ON(!preemptible()))
#define lockdep_assert_irqs_disabled() ((void)WARN_ON(!irqs_disabled()))
#define lockdep_assert_irqs_enabled() ((void)WARN_ON(irqs_disabled()))
struct lock_class_key { int unused; };

#endif
