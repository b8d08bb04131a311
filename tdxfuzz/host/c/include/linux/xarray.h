/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_XARRAY_H
#define TDXFUZZ_LINUX_XARRAY_H
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/gfp.h>

/*
 * A table by index. Each function below is one step, as if xa_lock were held for its whole; a load
 * sees what was done before the store that it finds. Entries are pointers, or small numbers by
 * xa_mk_value(). Memory for the table is there.
 */
struct xarray {
	void *tdxc_table;
	unsigned long tdxc_room, tdxc_used;
};

#define XA_FLAGS_ALLOC 4
#define XARRAY_INIT(name, flags) { NULL, 0, 0 }
#define DEFINE_XARRAY(name) struct xarray name = XARRAY_INIT(name, 0)
#define DEFINE_XARRAY_FLAGS(name, flags) DEFINE_XARRAY(name)
#define xa_init(xa) (*(xa) = (struct xarray)XARRAY_INIT(, 0))
#define xa_init_flags(xa, flags) xa_init(xa)
#define xa_mk_value(v) ((void *)(((unsigned long)(v) << 1) | 1))
#define xa_to_value(entry) ((unsigned long)(entry) >> 1)
#define xa_is_value(entry) ((unsigned long)(entry) & 1)
#define xa_is_err(entry) IS_ERR(entry)
#define xa_err(entry) PTR_ERR_OR_ZERO(entry)

static __always_inline __maybe_unused void __tdxc_may_sleep(gfp_t gfp)
{
	if (gfp & __GFP_DIRECT_RECLAIM)
		tdxc_might_sleep("xa_store(GFP_KERNEL)");
}

static __always_inline __maybe_unused void *xa_load(struct xarray *xa, unsigned long index)
{
	return tdxc_xarray(xa, index, TDXC_XA_LOAD, NULL, NULL);
}

static __always_inline __maybe_unused void *xa_store(struct xarray *xa, unsigned long index,
						      void *entry, gfp_t gfp)
{
	__tdxc_may_sleep(gfp);
	return tdxc_xarray(xa, index, TDXC_XA_STORE, NULL, entry);
}

static __always_inline __maybe_unused void *xa_erase(struct xarray *xa, unsigned long index)
{
	return tdxc_xarray(xa, index, TDXC_XA_STORE, NULL, NULL);
}

static __always_inline __maybe_unused void *xa_cmpxchg(struct xarray *xa, unsigned long index,
							void *old, void *entry, gfp_t gfp)
{
	__tdxc_may_sleep(gfp);
	return tdxc_xarray(xa, index, TDXC_XA_CMPXCHG, old, entry);
}

static __always_inline __maybe_unused int xa_insert(struct xarray *xa, unsigned long index,
						     void *entry, gfp_t gfp)
{
	return xa_cmpxchg(xa, index, NULL, entry, gfp) ? -EBUSY : 0;
}

#define xa_reserve(xa, index, gfp) 0
#define xa_destroy(xa) xa_init(xa)

#endif
