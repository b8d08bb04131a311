// SPDX-License-Identifier: MIT
/* v3, September 2025: each get allocates a pair first; get returns 0 though ADD failed. */
#include "pamt.h"
#include <tdxfuzz/layer.h>

static DEFINE_SPINLOCK(pamt_lock);

static int tdx_pamt_get(struct page *page, struct tdx_prealloc *cache)
{
	atomic_t *refcount = tdx_find_pamt_refcount(page_to_pfn(page));
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];

	if (alloc_pair_leaking(pages, cache))
		return -ENOMEM;

	if (atomic_inc_not_zero(refcount)) {
		free_pair(pages);
		return 0;
	}

	scoped_guard(spinlock, &pamt_lock) {
		u64 status;

		if (atomic_read(refcount)) {
			atomic_inc(refcount);
			break;
		}
		status = tdh_phymem_pamt_add(page_to_pfn(page), pages);
		if (IS_TDX_SUCCESS(status)) {
			atomic_inc(refcount);
			return 0;
		}
		if (IS_TDX_HPA_RANGE_NOT_FREE(status))
			atomic_inc(refcount);
	}

	free_pair(pages);
	return 0;
}

static void tdx_pamt_put(struct page *page)
{
	atomic_t *refcount = tdx_find_pamt_refcount(page_to_pfn(page));
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];

	if (!atomic_dec_and_test(refcount))
		return;

	scoped_guard(spinlock, &pamt_lock) {
		/* Lost the race with get. */
		if (atomic_read(refcount))
			return;
		if (!IS_TDX_SUCCESS(tdh_phymem_pamt_remove(page_to_pfn(page), pages))) {
			atomic_inc(refcount);
			return;
		}
	}
	free_pair(pages);
}

TDX_LAYER(.init = tdx_layer_init,
	  .get_page = tdx_pamt_get,
	  .put_page = tdx_pamt_put,
	  .refcount = tdx_find_pamt_refcount,
	  .tolerates = "HPA_RANGE_NOT_FREE",
	  .split_cache_per_vm = true);
