/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_ASM_SHARED_TDX_ERRNO_H
#define TDXFUZZ_ASM_SHARED_TDX_ERRNO_H
#include <asm/tdx_errno.h>

#endif
