// SPDX-License-Identifier: MIT
/* The last put of a range is done by an item of work, which takes all such ranges off a list. */
#include <linux/llist.h>
#include <linux/workqueue.h>

#define tdx_layer_glue tdx_layer_glue_of_merged
#include "merged.c"
#undef tdx_layer_glue

struct idle_range {
	struct llist_node node;
	u64 pfn;
};

static struct idle_range ranges[TDXC_PFNS / 512];
static LLIST_HEAD(idle);

static void remove_idle(struct work_struct *work)
{
	struct idle_range *range, *next;

	llist_for_each_entry_safe(range, next, llist_del_all(&idle), node)
		tdx_pamt_put(range->pfn);
}

static DECLARE_WORK(removal, remove_idle);

#ifndef SCHEDULED_FIRST
#define SCHEDULED_FIRST 0
#endif

static void put_late(u64 pfn)
{
	struct idle_range *range = &ranges[(pfn - TDXC_FIRST_PFN) >> 9];

	if (atomic_add_unless(tdx_find_pamt_refcount(pfn), -1, 1))
		return;
	range->pfn = pfn;
	if (SCHEDULED_FIRST)
		schedule_work(&removal);
	llist_add(&range->node, &idle);
	if (!SCHEDULED_FIRST)
		schedule_work(&removal);
}

#ifndef WAIT
#define WAIT 0
#endif

static int topup(void)
{
	WAIT;
	return 0;
}

/* Without .refcount KVM maps no 2MB pages: their split meets a pair that is still there. */
TDX_LAYER(.init = tdx_layer_init, .get = tdx_pamt_get, .put = put_late, .topup = topup);
