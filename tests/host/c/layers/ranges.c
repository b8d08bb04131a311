// SPDX-License-Identifier: MIT
/* A plain count for each 2MB range, under one lock. Comments mark where tests put more. */
#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>
#include <asm/tdx.h>
#include <tdxfuzz/layer.h>

#define NR_RANGES DIV_ROUND_UP(max_pfn, PTRS_PER_PTE)

struct pamt_range {
	int users;
};
static struct pamt_range *ranges;
static DEFINE_SPINLOCK(pamt_lock);
/* before */
static int __init pamt_init(void)
{
	ranges = kvcalloc(NR_RANGES, sizeof(*ranges), GFP_KERNEL);
	return ranges ? 0 : -ENOMEM;
}

static struct pamt_range *range_of(u64 pfn)
{
	return &ranges[pfn / PTRS_PER_PTE];
}

static struct page *next_page(struct tdx_prealloc *cache)
{
	struct page *page;

	if (!cache)
		return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	page = list_first_entry_or_null(&cache->page_list, struct page, lru);
	if (!page)
		return NULL;
	list_del(&page->lru);
	cache->cnt--;
	return page;
}

static void give_back(struct page *page)
{
	if (!page)
		return;
	tdx_quirk_reset_page(page);
	__free_page(page);
}

int tdx_pamt_get(u64 pfn, struct tdx_prealloc *cache)
{
	struct tdx_module_args args = {};
	struct pamt_range *range = range_of(pfn);
	struct page *a, *b = NULL;
	int ret = 0;

	a = next_page(cache);
	if (a)
		b = next_page(cache);
	if (!a || !b) {
		ret = -ENOMEM;
		goto free;
	}
	/* get */
	args.rcx = ALIGN_DOWN(PFN_PHYS(pfn), PMD_SIZE) | TDX_PS_2M;
	args.rdx = page_to_phys(a);
	args.r8 = page_to_phys(b);
	spin_lock(&pamt_lock);
	/* locked */
	if (range->users) {
		range->users++;
		spin_unlock(&pamt_lock);
		goto free;
	}
	if (seamcall(TDH_PHYMEM_PAMT_ADD, &args)) {
		spin_unlock(&pamt_lock);
		ret = -EIO;
		goto free;
	}
	range->users = 1;
	spin_unlock(&pamt_lock);
	return 0;
free:
	give_back(b);
	give_back(a);
	return ret;
}

void tdx_pamt_put(u64 pfn)
{
	struct tdx_module_args args = {};
	struct pamt_range *range = range_of(pfn);

	/* put */
	spin_lock(&pamt_lock);
	if (--range->users > 0) {
		spin_unlock(&pamt_lock);
		return;
	}
	args.rcx = ALIGN_DOWN(PFN_PHYS(pfn), PMD_SIZE) | TDX_PS_2M;
	if (WARN_ON_ONCE(seamcall_ret(TDH_PHYMEM_PAMT_REMOVE, &args))) {
		range->users = 1;
		spin_unlock(&pamt_lock);
		return;
	}
	spin_unlock(&pamt_lock);
	/* after */
	give_back(phys_to_page(args.rdx));
	give_back(phys_to_page(args.r8));
}

TDX_LAYER(.init = pamt_init, .get = tdx_pamt_get, .put = tdx_pamt_put);
