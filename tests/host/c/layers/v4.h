/* SPDX-License-Identifier: MIT */
/* get and put of v4 and v5, which allocate a pair in different ways. */
static DEFINE_SPINLOCK(pamt_lock);

static int tdx_pamt_get(u64 pfn, struct tdx_pamt_cache *cache)
{
	atomic_t *refcount = tdx_find_pamt_refcount(pfn);
	struct page *pages[TDX_DPAMT_ENTRY_PAGE_CNT];

	if (atomic_inc_not_zero(refcount))
		return 0;

	if (ALLOC_PAIR(pages, cache))
		return -ENOMEM;

	scoped_guard(spinlock, &pamt_lock) {
		u64 status;

		if (atomic_read(refcount)) {
			atomic_inc(refcount);
			break;
		}
		status = tdh_phymem_pamt_add(pfn, pages);
		if (IS_TDX_SUCCESS(status)) {
			atomic_set(refcount, 1);
			return 0;
		}
		if (IS_TDX_HPA_RANGE_NOT_FREE(status))
			atomic_set(refcount, 1);
	}

	free_pair(pages);
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
	free_pair(pages);
}
