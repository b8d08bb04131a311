/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_MINMAX_H
#define TDXFUZZ_LINUX_MINMAX_H
#define __tdxc_pick(op, a, b)                                                                      \
	({                                                                                         \
		__auto_type __a = (a);                                                             \
		__auto_type __b = (b);                                                             \
		__a op __b ? __a : __b;                                                            \
	})
#define min(a, b) __tdxc_pick(<, a, b)
#define max(a, b) __tdxc_pick(>, a, b)
#define min_t(type, a, b) min((type)(a), (type)(b))
#define max_t(type, a, b) max((type)(a), (type)(b))
#define clamp(v, low, high) min(max(v, low), high)
#define swap(a, b)                                                                                 \
	do {                                                                                       \
		__typeof__(a) __swapped = (a);                                                     \
		(a) = (b);                                                                         \
		(b) = __swapped;                                                                   \
	} while (0)

#endif
