/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_KREF_H
#define TDXFUZZ_LINUX_KREF_H
#include <linux/refcount.h>

struct kref {
	refcount_t refcount;
};

#define KREF_INIT(n) { .refcount = REFCOUNT_INIT(n) }

static __always_inline __maybe_unused void kref_init(struct kref *kref)
{
	refcount_set(&kref->refcount, 1);
}

static __always_inline __maybe_unused unsigned int kref_read(const struct kref *kref)
{
	return refcount_read(&kref->refcount);
}

static __always_inline __maybe_unused void kref_get(struct kref *kref)
{
	refcount_inc(&kref->refcount);
}

static __always_inline __maybe_unused int kref_get_unless_zero(struct kref *kref)
{
	return refcount_inc_not_zero(&kref->refcount);
}

static __always_inline __maybe_unused int kref_put(struct kref *kref,
						    void (*release)(struct kref *kref))
{
	if (!refcount_dec_and_test(&kref->refcount))
		return 0;
	release(kref);
	return 1;
}

static __always_inline __maybe_unused int kref_put_lock(struct kref *kref,
							 void (*release)(struct kref *kref),
							 spinlock_t *lock)
{
	if (!refcount_dec_and_lock(&kref->refcount, lock))
		return 0;
	release(kref);
	return 1;
}

static __always_inline __maybe_unused int kref_put_mutex(struct kref *kref,
							  void (*release)(struct kref *kref),
							  struct mutex *lock)
{
	if (!refcount_dec_and_mutex_lock(&kref->refcount, lock))
		return 0;
	release(kref);
	return 1;
}

#endif
