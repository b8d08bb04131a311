// SPDX-License-Identifier: MIT
/* v4, November 2025: the pair is allocated behind the fast path; the error code is still lost. */
#include "pamt.h"
#include <tdxfuzz/layer.h>

#define ALLOC_PAIR alloc_pair
#include "v4.h"

TDX_LAYER(.init = tdx_layer_init,
	  .get = tdx_pamt_get,
	  .put = tdx_pamt_put,
	  .refcount = tdx_find_pamt_refcount,
	  .tolerates = "HPA_RANGE_NOT_FREE",
	  .split_cache_per_vm = true);
