/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_MEMBLOCK_H
#define TDXFUZZ_LINUX_MEMBLOCK_H
#include <asm/page.h>

/* One region: all memory of the machine. */
#define for_each_mem_pfn_range(i, nid, start, end, node)                                           \
	for ((i) = 0, *(start) = TDXC_FIRST_PFN, *(end) = max_pfn; (i) < 1; (i)++)

#endif
