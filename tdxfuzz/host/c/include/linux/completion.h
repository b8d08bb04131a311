/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_COMPLETION_H
#define TDXFUZZ_LINUX_COMPLETION_H
#include <linux/atomic.h>
#include <linux/processor.h>

/* Who waits goes round until it is done: nobody who completes it is a livelock here. */
struct completion { atomic_t done; };

#define COMPLETION_INITIALIZER(name) { .done = ATOMIC_INIT(0) }
#define COMPLETION_INITIALIZER_ONSTACK(name) COMPLETION_INITIALIZER(name)
#define DECLARE_COMPLETION(name) struct completion name = COMPLETION_INITIALIZER(name)
#define DECLARE_COMPLETION_ONSTACK(name) DECLARE_COMPLETION(name)
#define __TDXC_ALL_DONE 0x40000000

static __always_inline __maybe_unused void init_completion(struct completion *x)
{
	atomic_set(&x->done, 0);
}

static __always_inline __maybe_unused void reinit_completion(struct completion *x)
{
	atomic_set(&x->done, 0);
}

static __always_inline __maybe_unused void complete(struct completion *x)
{
	atomic_fetch_inc(&x->done);
}

static __always_inline __maybe_unused void complete_all(struct completion *x)
{
	atomic_xchg(&x->done, __TDXC_ALL_DONE);
}

static __always_inline __maybe_unused bool completion_done(struct completion *x)
{
	return atomic_read_acquire(&x->done);
}

static __always_inline __maybe_unused bool try_wait_for_completion(struct completion *x)
{
	int done = atomic_read_acquire(&x->done);

	/* After complete_all() it stays done. */
	return done >= __TDXC_ALL_DONE || atomic_dec_if_positive(&x->done) >= 0;
}

static __always_inline __maybe_unused void wait_for_completion(struct completion *x)
{
	tdxc_might_sleep("wait_for_completion()");
	while (!try_wait_for_completion(x))
		cpu_relax();
}

/* Time never runs out, and no signal comes. */
#define wait_for_completion_interruptible(x) (wait_for_completion(x), 0)
#define wait_for_completion_killable(x) (wait_for_completion(x), 0)
/* No time at all: it is looked at once. */
#define wait_for_completion_timeout(x, timeout)                                                    \
	({                                                                                         \
		unsigned long __left = (timeout);                                                  \
                                                                                                   \
		if (__left) {                                                                      \
			wait_for_completion(x);                                                    \
		} else {                                                                           \
			tdxc_might_sleep("wait_for_completion()");                                 \
			__left = try_wait_for_completion(x);                                       \
		}                                                                                  \
		__left;                                                                            \
	})

#endif
