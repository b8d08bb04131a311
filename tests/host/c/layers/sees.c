// SPDX-License-Identifier: MIT
/* get reads one byte of each kind of memory that C can read; put is never called. */
#include "pamt.h"
#include <linux/percpu.h>
#include <tdxfuzz/layer.h>

struct two {
	u64 a, b;
};

static u8 in_data = 1;
static u8 in_bss, overwritten;
static struct two a_struct, another;
static DEFINE_PER_CPU(u8, of_a_cpu);
static u8 *on_heap;
static struct page *page;

int which;	/* of the kinds below get reads */
void *places[9];

static int init(void)
{
	on_heap = kmalloc(3, GFP_KERNEL);
	page = alloc_page(GFP_KERNEL);
	places[0] = &in_data;
	places[1] = &in_bss;
	places[2] = &a_struct.b;
	places[3] = &of_a_cpu[0];
	places[4] = on_heap + 2;
	places[5] = &page->private;
	places[6] = page_address(page) + 4095;
	places[7] = &another.a;
	places[8] = &overwritten;
	return tdx_layer_init();
}

static noinline void copy(struct two *to, struct two *from)
{
	*to = *from;
}

static int tdx_pamt_get(u64 pfn, struct tdx_pamt_cache *cache)
{
	struct two mine;
	u8 bytes[16];

	switch (which) {
	case 0:
		return -(in_data > 200);
	case 1:
		return -(in_bss > 200);
	case 2:
		copy(&mine, &a_struct);
		return -(mine.b > 200);
	case 3:
		return -(*raw_cpu_ptr(&of_a_cpu) > 200);
	case 4:
		return -(on_heap[2] > 200);
	case 5:
		return -(page->private > 200);
	case 6:
		return -(((u8 *)page_address(page))[4095] > 200);
	case 8:
		bytes[0] = overwritten;
		overwritten = 77;
		return -(bytes[0] > 200);
	default:
		memcpy(bytes, &another, sizeof(bytes));
		return -(bytes[0] > 200);
	}
}

static void tdx_pamt_put(u64 pfn)
{
}

TDX_LAYER(.init = init, .get = tdx_pamt_get, .put = tdx_pamt_put);
