/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_ASM_SHARED_TDX_H
#define TDXFUZZ_ASM_SHARED_TDX_H
#include <asm/tdx_errno.h>
#include <linux/types.h>

#define TDX_PS_4K 0
#define TDX_PS_2M 1
#define TDX_PS_1G 2
#define TDX_PS_NR (TDX_PS_1G + 1)

struct tdx_module_args {
	u64 rcx;
	u64 rdx;
	u64 r8;
	u64 r9;
	u64 r10;
	u64 r11;
	u64 r12;
	u64 r13;
	u64 r14;
	u64 r15;
	u64 rbx;
	u64 rdi;
	u64 rsi;
};

#endif
