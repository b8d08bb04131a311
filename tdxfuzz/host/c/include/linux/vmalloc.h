/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_VMALLOC_H
#define TDXFUZZ_LINUX_VMALLOC_H
#include <linux/gfp.h>
#include <linux/overflow.h>

/* As kmalloc, on a page boundary. */
#define __TDXC_VMALLOC(size) tdxc_alloc(size, PAGE_SIZE, 1, "vmalloc()")
#define vmalloc(size) __TDXC_VMALLOC(size)
#define vzalloc(size) __TDXC_VMALLOC(size)
#define __vmalloc(size, gfp) __TDXC_VMALLOC(size)
#define vmalloc_array(n, size) __TDXC_VMALLOC(array_size(n, size))
#define vcalloc(n, size) __TDXC_VMALLOC(array_size(n, size))
static __always_inline __maybe_unused void vfree(const void *p)
{
	/* Elsewhere it leaves the work to be done later. */
	if (!tdxc_is_off(TDXC_SOFTIRQS_OFF))
		tdxc_might_sleep("vfree()");
	tdxc_free(p, "vfree");
}

#endif
