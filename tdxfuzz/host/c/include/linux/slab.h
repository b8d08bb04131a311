/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_SLAB_H
#define TDXFUZZ_LINUX_SLAB_H
#include <linux/cleanup.h>
#include <linux/gfp.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/string.h>

/* Each access is checked against the object's bounds. It fails only when 32MB are used up. */
#define __TDXC_KMALLOC(size, gfp)                                                                  \
	tdxc_alloc(size, 8, !!((gfp) & __GFP_DIRECT_RECLAIM), "kmalloc(GFP_KERNEL)")
/* What kmalloc gives is zeroed here, so that a run is the same each time. */
#define kmalloc(size, gfp) __TDXC_KMALLOC(size, gfp)
#define kzalloc(size, gfp) __TDXC_KMALLOC(size, gfp)
#define kmalloc_array(n, size, gfp) kmalloc(array_size(n, size), gfp)
#define kcalloc(n, size, gfp) kzalloc(array_size(n, size), gfp)
#define kmalloc_obj(object, gfp) kmalloc(sizeof(object), gfp)
#define kzalloc_obj(object, gfp) kzalloc(sizeof(object), gfp)
#define kvzalloc(size, gfp) kzalloc(size, gfp)
#define kvcalloc(n, size, gfp) kcalloc(n, size, gfp)
#define kfree(p) tdxc_free(p, "kfree")
#define krealloc(p, size, gfp) __tdxc_krealloc(p, size, gfp)
#define krealloc_array(p, n, size, gfp) krealloc(p, array_size(n, size), gfp)
#define ksize(p) tdxc_size(p, "ksize")
#define kvfree_sensitive(p, size) kfree(p)

/* The object is another one each time, and what is new in it is zeroed. */
static __maybe_unused void *__tdxc_krealloc(const void *old, size_t size, gfp_t gfp)
{
	void *object = kmalloc(size, gfp);

	if (old) {
		memcpy(object, old, min_t(size_t, size, tdxc_size(old, "krealloc")));
		kfree(old);
	}
	return object;
}

DEFINE_FREE(kfree, void *, if (!IS_ERR_OR_NULL(_T)) kfree(_T))

#endif
