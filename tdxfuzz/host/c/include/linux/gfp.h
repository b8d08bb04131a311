/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_GFP_H
#define TDXFUZZ_LINUX_GFP_H
#include <linux/gfp_types.h>
#include <linux/mm_types.h>

#define alloc_page(gfp) tdxc_alloc_page(!!((gfp) & __GFP_DIRECT_RECLAIM), !!((gfp) & __GFP_ZERO))
/* Single pages only. */
#define alloc_pages(gfp, order)                                                                    \
	({                                                                                         \
		BUILD_BUG_ON_MSG((order) != 0, "alloc_pages: order 0 only");                       \
		alloc_page(gfp);                                                                   \
	})
#define __free_page(p) tdxc_free_page(p)
#define put_page(p) tdxc_free_page(p)
#define get_zeroed_page(gfp) __get_free_page((gfp) | __GFP_ZERO)
#define __get_free_page(gfp)                                                                       \
	({                                                                                         \
		struct page *__page = alloc_page(gfp);                                             \
		__page ? (unsigned long)page_address(__page) : 0ul;                                \
	})
#define free_page(address)                                                                         \
	do {                                                                                       \
		unsigned long __freed = (address);                                                 \
                                                                                                   \
		if (__freed)                                                                       \
			tdxc_free_page(virt_to_page(__freed));                                     \
	} while (0)

#endif
