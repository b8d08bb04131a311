// SPDX-License-Identifier: MIT
/* v5, January 2026: as v4; half a pair is lost, and S-EPT pages are put from an RCU callback. */
#include "pamt.h"
#include <tdxfuzz/layer.h>

#define ALLOC_PAIR alloc_pair_leaking
#include "v4.h"

TDX_LAYER(.init = tdx_layer_init,
	  .get = tdx_pamt_get,
	  .put = tdx_pamt_put,
	  .refcount = tdx_find_pamt_refcount,
	  .tolerates = "HPA_RANGE_NOT_FREE",
	  .frees_sept_from_rcu = true);
