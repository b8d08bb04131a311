/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_LOCKDEP_H
#define TDXFUZZ_LINUX_LOCKDEP_H
#include <linux/bug.h>

/* Not held: the run ends, exit code 2, as a wrong call would. */
#define lockdep_assert_held(lock) tdxc_assert_held(lock)
#define lockdep_assert_held_write(lock) tdxc_assert_held(lock)
#define lockdep_assert_held_read(lock) tdxc_assert_held(lock)
#define lockdep_assert_held_once(lock) tdxc_assert_held(lock)
#define lockdep_assert_not_held(lock) ((void)WARN_ON(tdxc_is_held(lock)))
#define lockdep_is_held(lock) tdxc_is_held(lock)
#define lockdep_set_class(lock, key) ((void)(lock))
#define lockdep_assert(condition) ((void)WARN_ON(!(condition)))
#define lockdep_assert_preemption_disabled() ((void)0)
#define lockdep_assert_irqs_disabled() ((void)0)
struct lock_class_key { int unused; };

#endif
