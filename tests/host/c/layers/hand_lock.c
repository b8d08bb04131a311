// SPDX-License-Identifier: MIT
/* As merged, under a lock made by hand; with ROUNDS it warns after so many tries. */
#include "pamt.h"
#include <linux/processor.h>
#include <tdxfuzz/layer.h>

static atomic_t word;

static void take(void)
{
#ifdef ROUNDS
	for (int i = 0; i < ROUNDS; i++) {
		if (!atomic_cmpxchg(&word, 0, 1))
			return;
		cpu_relax();
	}
	WARN(1, "rounds");
#endif
	while (atomic_cmpxchg(&word, 0, 1))
		cpu_relax();
}

static void give_up(void)
{
	atomic_set_release(&word, 0);
}

static int tdx_pamt_get(u64 pfn, struct tdx_pamt_cache *cache)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];

	if (alloc_pair(pages, cache))
		return -ENOMEM;
	take();
	if (!atomic_inc_not_zero(refcount)) {
		if (!tdh_phymem_pamt_add(pfn, pages)) {
			atomic_set(refcount, 1);
			give_up();
			return 0;
		}
		WARN(1, "PAMT.ADD failed");
	}
	give_up();
	free_pair(pages);
	return 0;
}

static void tdx_pamt_put(u64 pfn)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];

	take();
	if (atomic_read(refcount) > 1) {
		atomic_dec(refcount);
		give_up();
		return;
	}
	WARN_ON(tdh_phymem_pamt_remove(pfn, pages));
	atomic_set(refcount, 0);
	give_up();
	free_pair(pages);
}

TDX_LAYER(.init = tdx_layer_init,
	  .get = tdx_pamt_get,
	  .put = tdx_pamt_put,
	  .refcount = tdx_find_pamt_refcount);
