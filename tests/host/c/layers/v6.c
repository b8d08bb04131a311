// SPDX-License-Identifier: MIT
/* v6 with its last patch, May 2026: a fast path without the lock in get and put. */
#include "pamt.h"
#include <tdxfuzz/layer.h>

static DEFINE_SPINLOCK(pamt_lock);

static int tdx_pamt_get(u64 pfn, struct tdx_pamt_cache *cache)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];
	int ret = 0;
	u64 status;

	if (atomic_inc_not_zero(refcount))
		return 0;

	if (alloc_pair(pages, cache))
		return -ENOMEM;

	scoped_guard(spinlock, &pamt_lock) {
		if (atomic_read(refcount)) {
			atomic_inc(refcount);
			break;
		}
		status = tdh_phymem_pamt_add(pfn, pages);
		if (status == TDX_SUCCESS) {
			atomic_set(refcount, 1);
			return 0;
		}
		WARN_ONCE(1, "PAMT.ADD failed: %#llx", status);
		ret = -EIO;
	}

	free_pair(pages);
	return ret;
}

static void tdx_pamt_put(u64 pfn)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];
	u64 status;

	if (!atomic_dec_and_lock(refcount, &pamt_lock))
		return;

	status = tdh_phymem_pamt_remove(pfn, pages);
	if (WARN_ONCE(status, "PAMT.REMOVE failed: %#llx", status)) {
		atomic_set(refcount, 1);
		spin_unlock(&pamt_lock);
		return;
	}
	spin_unlock(&pamt_lock);
	free_pair(pages);
}

TDX_LAYER(.init = tdx_layer_init,
	  .get = tdx_pamt_get,
	  .put = tdx_pamt_put,
	  .refcount = tdx_find_pamt_refcount,
	  .demote_lock = &pamt_lock);
