/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_ASM_TDX_H
#define TDXFUZZ_ASM_TDX_H
#include <asm/pgtable_types.h>
#include <asm/shared/tdx.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/printk.h>

#define TDH_PHYMEM_PAMT_ADD 58
#define TDH_PHYMEM_PAMT_REMOVE 59
#define TDX_DPAMT_ENTRY_PAGE_CNT 2
#define TDX_FEATURES0_DYNAMIC_PAMT BIT_ULL(36)

/*
 * The cache that get draws pages from. v4 called it tdx_prealloc, v5 and later tdx_pamt_cache. A file
 * that brings its own defines TDX_OWN_CACHE first.
 */
#ifndef TDX_OWN_CACHE
struct tdx_prealloc {
	struct list_head page_list;
	int cnt;
};
#define tdx_pamt_cache tdx_prealloc
#endif

/* As far as a layer asks: what the module can do. */
struct tdx_sys_info_features { u64 tdx_features0; };
struct tdx_sys_info_tdmr {
	u16 max_tdmrs;
	u16 max_reserved_per_tdmr;
	u16 pamt_4k_entry_size;
	u16 pamt_2m_entry_size;
	u16 pamt_1g_entry_size;
	u8 pamt_page_bitmap_entry_bits;
};
struct tdx_sys_info {
	struct tdx_sys_info_features features;
	struct tdx_sys_info_tdmr tdmr;
};
/* What the model of the module says. A file's own "static struct tdx_sys_info tdx_sysinfo;" is this. */
static __maybe_unused struct tdx_sys_info tdx_sysinfo = {
	.features = { .tdx_features0 = TDX_FEATURES0_DYNAMIC_PAMT },
	.tdmr = {
		.max_tdmrs = 64,
		.max_reserved_per_tdmr = 16,
		.pamt_4k_entry_size = 16,
		.pamt_2m_entry_size = 16,
		.pamt_1g_entry_size = 16,
		.pamt_page_bitmap_entry_bits = 1,
	},
};
#define tdx_get_sysinfo() ((const struct tdx_sys_info *)&tdx_sysinfo)

#ifndef tdx_supports_dynamic_pamt
#define tdx_supports_dynamic_pamt(sysinfo...) true
#endif

/* A SEAMCALL is made of the steps that the module takes. It never wants to be retried for entropy. */
static __always_inline __maybe_unused u64 seamcall(u64 fn, struct tdx_module_args *args)
{
	return tdxc_seamcall(fn, args, 0);
}

static __always_inline __maybe_unused u64 seamcall_ret(u64 fn, struct tdx_module_args *args)
{
	return tdxc_seamcall(fn, args, 1);
}

#define __seamcall seamcall
#define __seamcall_ret seamcall_ret
#define __seamcall_saved_ret seamcall_ret
#define seamcall_saved_ret seamcall_ret
typedef u64 (*sc_func_t)(u64 fn, struct tdx_module_args *args);
static __always_inline __maybe_unused u64 sc_retry(sc_func_t func, u64 fn,
						    struct tdx_module_args *args)
{
	int retry = 10;
	u64 status;

	do
		status = func(fn, args);
	while (IS_TDX_RND_NO_ENTROPY(status) && --retry);
	return status;
}
#define sc_retry_prerr(func, fn, args)                                                             \
	({                                                                                         \
		u64 __status = (func)(fn, args);                                                   \
		if (__status)                                                                      \
			pr_err("SEAMCALL (%llu) failed: 0x%016llx\n", (u64)(fn), __status);         \
		__status ? -EIO : 0;                                                               \
	})
#define seamcall_prerr(fn, args) sc_retry_prerr(seamcall, fn, args)
#define seamcall_prerr_ret(fn, args) sc_retry_prerr(seamcall_ret, fn, args)

/* Overwrites a page with zeroes; the argument is a PFN or a struct page, by revision. */
#define tdx_quirk_reset_page(p)                                                                 \
	tdxc_reset_page(__builtin_choose_expr(                                                     \
		__builtin_types_compatible_p(__typeof__(p), struct page *),                     \
		page_to_pfn((struct page *)(unsigned long)(p)), (u64)(unsigned long)(p)))
#define tdx_clear_page(p) tdx_quirk_reset_page(p)
static __always_inline __maybe_unused void tdx_quirk_reset_paddr(unsigned long base,
								  unsigned long size)
{
	for (unsigned long end = base + size; base < end; base += PAGE_SIZE)
		tdxc_reset_page(base >> PAGE_SHIFT);
}
#define tdx_clflush_page(p) ((void)(p))

#endif
