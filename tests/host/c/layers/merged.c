// SPDX-License-Identifier: MIT
/* What was merged in September 2026: every get and put under one lock. */
#include "pamt.h"
#include <tdxfuzz/layer.h>

static DEFINE_SPINLOCK(dpamt_lock);

static int tdx_pamt_get(u64 pfn, struct tdx_pamt_cache *cache)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];
	u64 status;
	int ret;

	ret = alloc_pair(pages, cache);
	if (ret)
		return ret;

	spin_lock(&dpamt_lock);
	if (atomic_inc_not_zero(refcount))
		goto out_free;
	status = tdh_phymem_pamt_add(pfn, pages);
	if (WARN_ONCE(status, "PAMT.ADD failed: %#llx", status)) {
		ret = -EIO;
		goto out_free;
	}
	atomic_set(refcount, 1);
	spin_unlock(&dpamt_lock);
	return 0;

out_free:
	spin_unlock(&dpamt_lock);
	free_pair(pages);
	return ret;
}

static void tdx_pamt_put(u64 pfn)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];
	u64 status;

	spin_lock(&dpamt_lock);
	if (atomic_read(refcount) > 1) {
		atomic_dec(refcount);
		spin_unlock(&dpamt_lock);
		return;
	}
	status = tdh_phymem_pamt_remove(pfn, pages);
	if (WARN_ONCE(status, "PAMT.REMOVE failed: %#llx", status)) {
		spin_unlock(&dpamt_lock);
		return;
	}
	atomic_set(refcount, 0);
	spin_unlock(&dpamt_lock);
	free_pair(pages);
}

TDX_LAYER(.init = tdx_layer_init,
	  .get = tdx_pamt_get,
	  .put = tdx_pamt_put,
	  .refcount = tdx_find_pamt_refcount,
	  .demote_lock = &dpamt_lock);
