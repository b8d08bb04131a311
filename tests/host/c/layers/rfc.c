// SPDX-License-Identifier: MIT
/* RFC, May 2025: the last reference goes outside the lock; a failed REMOVE leaves the count at 0. */
#include "pamt.h"
#include <tdxfuzz/layer.h>

static DEFINE_SPINLOCK(pamt_lock);

static int tdx_pamt_get(u64 pfn, struct tdx_prealloc *cache)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];
	u64 status;

	WARN_ON_ONCE(atomic_read(refcount) < 0);
	if (atomic_inc_not_zero(refcount))
		return 0;

	if (alloc_pair(pages, cache))
		return -ENOMEM;

	spin_lock(&pamt_lock);
	if (atomic_read(refcount)) {
		atomic_inc(refcount);
		spin_unlock(&pamt_lock);
		free_pair_dirty(pages);
		return 0;
	}
	status = tdh_phymem_pamt_add(pfn, pages);
	if (!IS_TDX_SUCCESS(status)) {
		free_pair_dirty(pages);
		if (!IS_TDX_HPA_RANGE_NOT_FREE(status)) {
			spin_unlock(&pamt_lock);
			return -EIO;
		}
	}
	atomic_set(refcount, 1);
	spin_unlock(&pamt_lock);
	return 0;
}

static void tdx_pamt_put(u64 pfn)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];
	u64 status;

	if (!atomic_dec_and_test(refcount))
		return;

	spin_lock(&pamt_lock);
	/* Lost the race with get. */
	if (atomic_read(refcount)) {
		spin_unlock(&pamt_lock);
		return;
	}
	status = tdh_phymem_pamt_remove(pfn, pages);
	spin_unlock(&pamt_lock);

	if (IS_TDX_SUCCESS(status))
		free_pair_dirty(pages);
}

TDX_LAYER(.init = tdx_layer_init,
	  .get = tdx_pamt_get,
	  .put = tdx_pamt_put,
	  .refcount = tdx_find_pamt_refcount,
	  .tolerates = "HPA_RANGE_NOT_FREE");
