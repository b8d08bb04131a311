// SPDX-License-Identifier: MIT
/* v2, June 2025: as the RFC, but a failed REMOVE gives the reference back. */
#include "pamt.h"
#include <tdxfuzz/layer.h>

static DEFINE_SPINLOCK(pamt_lock);

static int tdx_pamt_get(u64 pfn, struct tdx_prealloc *cache)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];
	bool unused = true;

	if (atomic_inc_not_zero(refcount))
		return 0;

	if (alloc_pair(pages, cache))
		return -ENOMEM;

	scoped_guard(spinlock, &pamt_lock) {
		u64 status;

		if (atomic_read(refcount)) {
			atomic_inc(refcount);
			break;
		}
		status = tdh_phymem_pamt_add(pfn, pages);
		if (!IS_TDX_SUCCESS(status) && !IS_TDX_HPA_RANGE_NOT_FREE(status)) {
			free_pair_dirty(pages);
			return -EIO;
		}
		atomic_set(refcount, 1);
		unused = !IS_TDX_SUCCESS(status);
	}

	if (unused)
		free_pair_dirty(pages);
	return 0;
}

static void tdx_pamt_put(u64 pfn)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];

	if (!atomic_dec_and_test(refcount))
		return;

	scoped_guard(spinlock, &pamt_lock) {
		/* Lost the race with get. */
		if (atomic_read(refcount))
			return;
		if (!IS_TDX_SUCCESS(tdh_phymem_pamt_remove(pfn, pages))) {
			atomic_inc(refcount);
			return;
		}
	}
	free_pair_dirty(pages);
}

TDX_LAYER(.init = tdx_layer_init,
	  .get = tdx_pamt_get,
	  .put = tdx_pamt_put,
	  .refcount = tdx_find_pamt_refcount,
	  .tolerates = "HPA_RANGE_NOT_FREE");
