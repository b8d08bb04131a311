/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_WAIT_H
#define TDXFUZZ_LINUX_WAIT_H
#include <linux/atomic.h>
#include <linux/processor.h>

/*
 * Who waits looks at its condition again at each wake-up only: a wake-up that is missing is a
 * livelock here. Each wake-up wakes all, as the condition decides.
 */
typedef struct wait_queue_head {
	atomic_t wakeups;
} wait_queue_head_t;

#define __WAIT_QUEUE_HEAD_INITIALIZER(name) { .wakeups = ATOMIC_INIT(0) }
#define DECLARE_WAIT_QUEUE_HEAD(name) wait_queue_head_t name = __WAIT_QUEUE_HEAD_INITIALIZER(name)
#define DECLARE_WAIT_QUEUE_HEAD_ONSTACK(name) DECLARE_WAIT_QUEUE_HEAD(name)

static __always_inline __maybe_unused void init_waitqueue_head(wait_queue_head_t *wq)
{
	atomic_set(&wq->wakeups, 0);
}

static __always_inline __maybe_unused void wake_up(wait_queue_head_t *wq)
{
	atomic_fetch_inc(&wq->wakeups);
}

#define wake_up_all wake_up
#define wake_up_interruptible wake_up
#define wake_up_interruptible_all wake_up

#define wait_event(wq, condition)                                                                  \
	do {                                                                                       \
		tdxc_might_sleep("wait_event()");                                                  \
		for (;;) {                                                                         \
			int __wakeups = atomic_read_acquire(&(wq).wakeups);                        \
                                                                                                   \
			if (condition)                                                             \
				break;                                                             \
			while (atomic_read_acquire(&(wq).wakeups) == __wakeups)                    \
				cpu_relax();                                                       \
		}                                                                                  \
	} while (0)
/* Time never runs out, and no signal comes. */
#define wait_event_interruptible(wq, condition)                                                    \
	({                                                                                         \
		wait_event(wq, condition);                                                         \
		0;                                                                                 \
	})
#define wait_event_killable wait_event_interruptible
/* No time at all: the condition is looked at once. */
#define wait_event_timeout(wq, condition, timeout)                                                 \
	({                                                                                         \
		long __left = (timeout);                                                           \
                                                                                                   \
		if (__left) {                                                                      \
			wait_event(wq, condition);                                                 \
		} else {                                                                           \
			tdxc_might_sleep("wait_event()");                                          \
			__left = !!(condition);                                                    \
		}                                                                                  \
		__left;                                                                            \
	})

#endif
