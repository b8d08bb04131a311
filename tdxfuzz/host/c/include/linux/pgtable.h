/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_PGTABLE_H
#define TDXFUZZ_LINUX_PGTABLE_H
#include <asm/pgtable.h>

#endif
