/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_ASM_PGTABLE_H
#define TDXFUZZ_ASM_PGTABLE_H
#include <asm/page.h>
#include <asm/pgtable_types.h>

#endif
