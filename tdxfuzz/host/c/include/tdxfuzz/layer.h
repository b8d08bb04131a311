/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_TDXFUZZ_LAYER_H
#define TDXFUZZ_TDXFUZZ_LAYER_H
#include <asm/tdx.h>
#include <linux/spinlock.h>

struct tdx_prealloc;
/*
 * What tdxfuzz calls, and what it has to know of the code. All but get and put are optional.
 * Numbers and strings mean what the attributes of tdxfuzz.host.design.RefcountLayer mean.
 */
struct tdx_layer {
	int (*init)(void);			/* once, before anything else */
	int (*get)(u64 pfn, struct tdx_prealloc *cache);
	int (*get_page)(struct page *page, struct tdx_prealloc *cache);	/* instead of get */
	void (*put)(u64 pfn);
	void (*put_page)(struct page *page);	/* instead of put */
	void (*put_hint)(u64 pfn, bool hint);	/* instead of put: with the module's removal hint */
	atomic_t *(*refcount)(u64 pfn);		/* where the count of a page's 2MB range is */
	spinlock_t *demote_lock;		/* held around DEMOTE and the count after it */
	int (*topup)(void);			/* where KVM fills its caches; may sleep */
	const char *tolerates;			/* statuses that are handled by intent */
	const char *kvm_repeats;		/* statuses at which KVM repeats its SEAMCALL */
	const char *declared_leaks;
	const char *may_starve;			/* why it is accepted that some timing never ends */
	int cache_pages;			/* 0: 10 */
	int initial_refcount;
	int kworkers;				/* 0: 2 if there is <linux/workqueue.h> */
	bool split_cache_per_vm;
	bool frees_sept_from_rcu;
	bool cache_made_by_vcpu_init;
	bool retries_missing;
};

#define TDX_LAYER(...)                                                                             \
	__attribute__((used, visibility("default"))) const struct tdx_layer tdx_layer_glue = {     \
		__VA_ARGS__                                                                        \
	}

#endif
