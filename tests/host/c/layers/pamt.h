/* SPDX-License-Identifier: MIT */
/* What all revisions of the layer share: counters, pairs of pages, and the two SEAMCALLs. */
#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <asm/tdx.h>

static atomic_t *pamt_refcounts;

static __maybe_unused int tdx_layer_init(void)
{
	size_t size = array_size(DIV_ROUND_UP(max_pfn, PTRS_PER_PTE), sizeof(*pamt_refcounts));

	pamt_refcounts = vzalloc(size);
	return pamt_refcounts ? 0 : -ENOMEM;
}

/* The counter of a page's 2MB range. */
static __maybe_unused atomic_t *tdx_find_pamt_refcount(u64 pfn)
{
	return &pamt_refcounts[pfn >> (PMD_SHIFT - PAGE_SHIFT)];
}

static struct page *alloc_pamt_page(struct tdx_pamt_cache *cache)
{
	struct page *page;

	if (!cache)
		return alloc_page(GFP_KERNEL_ACCOUNT);
	page = list_first_entry_or_null(&cache->page_list, struct page, lru);
	if (page) {
		list_del(&page->lru);
		cache->cnt--;
	}
	return page;
}

static __maybe_unused int alloc_pair(struct page **pages, struct tdx_pamt_cache *cache)
{
	pages[0] = alloc_pamt_page(cache);
	if (!pages[0])
		return -ENOMEM;
	pages[1] = alloc_pamt_page(cache);
	if (!pages[1]) {
		__free_page(pages[0]);
		return -ENOMEM;
	}
	return 0;
}

/* v3: when the second page fails, the first one is forgotten. */
static __maybe_unused int alloc_pair_leaking(struct page **pages, struct tdx_pamt_cache *cache)
{
	for (int i = 0; i < TDX_DPAMT_ENTRY_PAGE_CNT; i++) {
		pages[i] = alloc_pamt_page(cache);
		if (!pages[i])
			return -ENOMEM;
	}
	return 0;
}

static __maybe_unused void free_pair(struct page **pages)
{
	for (int i = 0; i < TDX_DPAMT_ENTRY_PAGE_CNT; i++) {
		tdx_quirk_reset_page(pages[i]);
		__free_page(pages[i]);
	}
}

/* Up to v2 pages went back as the module left them. */
static __maybe_unused void free_pair_dirty(struct page **pages)
{
	for (int i = 0; i < TDX_DPAMT_ENTRY_PAGE_CNT; i++)
		__free_page(pages[i]);
}

static u64 tdh_phymem_pamt_add(u64 pfn, struct page **pages)
{
	struct tdx_module_args args = {
		.rcx = ALIGN_DOWN(PFN_PHYS(pfn), PMD_SIZE) | TDX_PS_2M,
		.rdx = page_to_phys(pages[0]),
		.r8 = page_to_phys(pages[1]),
	};

	return seamcall(TDH_PHYMEM_PAMT_ADD, &args);
}

static u64 tdh_phymem_pamt_remove(u64 pfn, struct page **pages)
{
	struct tdx_module_args args = {
		.rcx = ALIGN_DOWN(PFN_PHYS(pfn), PMD_SIZE) | TDX_PS_2M,
	};
	u64 status = seamcall_ret(TDH_PHYMEM_PAMT_REMOVE, &args);

	if (status)
		return status;
	pages[0] = phys_to_page(args.rdx);
	pages[1] = phys_to_page(args.r8);
	return TDX_SUCCESS;
}
