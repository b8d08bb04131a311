/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_PFN_H
#define TDXFUZZ_LINUX_PFN_H
#include <asm/page_types.h>

#endif
