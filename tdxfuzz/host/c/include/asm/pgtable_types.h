/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_ASM_PGTABLE_TYPES_H
#define TDXFUZZ_ASM_PGTABLE_TYPES_H
#include <asm/page_types.h>

enum pg_level {
	PG_LEVEL_NONE,
	PG_LEVEL_4K,
	PG_LEVEL_2M,
	PG_LEVEL_1G,
	PG_LEVEL_512G,
	PG_LEVEL_256T,
	PG_LEVEL_NUM,
};

#define page_level_shift(level) (PAGE_SHIFT + 9 * ((int)(level) - PG_LEVEL_4K))
#define page_level_size(level) (1ul << page_level_shift(level))
#define page_level_mask(level) (~(page_level_size(level) - 1))

#endif
