/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_REFCOUNT_H
#define TDXFUZZ_LINUX_REFCOUNT_H
#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>

/* Saturates, and warns, as the kernel's does. */
typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

#define REFCOUNT_INIT(n) { .refs = ATOMIC_INIT(n) }
#define REFCOUNT_MAX 0x7fffffff
#define REFCOUNT_SATURATED ((int)0xc0000000)

static __always_inline __maybe_unused void __refcount_saturate(refcount_t *r, const char *why)
{
	atomic_set(&r->refs, REFCOUNT_SATURATED);
	WARN(1, "refcount_t: %s", why);
}

static __always_inline __maybe_unused void refcount_set(refcount_t *r, int n)
{
	atomic_set(&r->refs, n);
}

static __always_inline __maybe_unused unsigned int refcount_read(const refcount_t *r)
{
	return (unsigned int)atomic_read(&r->refs);
}

static __always_inline __maybe_unused bool refcount_add_not_zero(int i, refcount_t *r)
{
	/* It orders nothing, as in the kernel: the object has to be stable by other means. */
	int old = (int)__TDXC_DO(TDXC_OP_FETCH_ADD_UNLESS, TDXC_RELAXED, &r->refs, i, 0);

	if (old && (old < 0 || (int)((unsigned int)old + (unsigned int)i) < 0))
		__refcount_saturate(r, "saturated; leaking memory");
	return old;
}

static __always_inline __maybe_unused bool refcount_inc_not_zero(refcount_t *r)
{
	return refcount_add_not_zero(1, r);
}

static __always_inline __maybe_unused void refcount_add(int i, refcount_t *r)
{
	int old = atomic_fetch_add_relaxed(i, &r->refs);

	if (!old)
		__refcount_saturate(r, "addition on 0; use-after-free");
	else if (old < 0 || (int)((unsigned int)old + (unsigned int)i) < 0)
		__refcount_saturate(r, "saturated; leaking memory");
}

static __always_inline __maybe_unused void refcount_inc(refcount_t *r)
{
	refcount_add(1, r);
}

static __always_inline __maybe_unused bool refcount_sub_and_test(int i, refcount_t *r)
{
	int old = atomic_fetch_sub_release(i, &r->refs);

	if (old > 0 && old == i) {
		smp_acquire__after_ctrl_dep();
		return true;
	}
	if (old <= 0 || old - i < 0)
		__refcount_saturate(r, "underflow; use-after-free");
	return false;
}

static __always_inline __maybe_unused bool refcount_dec_and_test(refcount_t *r)
{
	return refcount_sub_and_test(1, r);
}

static __always_inline __maybe_unused void refcount_dec(refcount_t *r)
{
	if (atomic_fetch_sub_release(1, &r->refs) <= 1)
		__refcount_saturate(r, "decrement hit 0; leaking memory");
}

/* One step: the kernel's loop of cmpxchg, which goes round only if it lost. */
static __always_inline __maybe_unused bool refcount_dec_not_one(refcount_t *r)
{
	int old = (int)__TDXC_DO(TDXC_OP_DEC_NOT_ONE, TDXC_RELEASE, &r->refs, -1, 0);

	WARN(!old, "refcount_t: underflow; use-after-free");
	return old != 1;
}

static __always_inline __maybe_unused bool refcount_dec_if_one(refcount_t *r)
{
	return atomic_cmpxchg_release(&r->refs, 1, 0) == 1;
}

/* Down to 0 only with the lock held, and then it stays held. */
static __always_inline __maybe_unused bool refcount_dec_and_lock(refcount_t *r, spinlock_t *lock)
{
	if (refcount_dec_not_one(r))
		return false;
	spin_lock(lock);
	if (refcount_dec_and_test(r))
		return true;
	spin_unlock(lock);
	return false;
}

static __always_inline __maybe_unused bool refcount_dec_and_mutex_lock(refcount_t *r,
								       struct mutex *lock)
{
	if (refcount_dec_not_one(r))
		return false;
	mutex_lock(lock);
	if (refcount_dec_and_test(r))
		return true;
	mutex_unlock(lock);
	return false;
}

#endif
