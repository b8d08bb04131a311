/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_MM_H
#define TDXFUZZ_LINUX_MM_H
#include <asm/page.h>
#include <linux/cleanup.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <asm/pgtable.h>

#define set_page_private(p, v) ((p)->private = (v))
#define page_private(p) ((p)->private)
#define clear_page(address) memset(address, 0, PAGE_SIZE)
#define clear_highpage(p) clear_page(page_address(p))
#define lru_to_page(head) list_entry((head)->prev, struct page, lru)
#define kvmalloc(size, gfp) kmalloc(size, gfp)
#define kvfree(p) kfree(p)

#endif
