/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_MM_TYPES_H
#define TDXFUZZ_LINUX_MM_TYPES_H
#include <linux/bug.h>
#include <asm/page.h>
#include <linux/types.h>

/* 64 bytes, as the kernel's; of its fields those that a layer has a use for. */
struct page {
	unsigned long flags;
	struct list_head lru;	/* LRU in runtime/kernel.c */
	void *mapping;
	unsigned long index;
	unsigned long private;
	unsigned long tdxc_pad[2];
};

#endif
