/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_OVERFLOW_H
#define TDXFUZZ_LINUX_OVERFLOW_H
#include <linux/types.h>

#define check_add_overflow(a, b, d) __builtin_add_overflow(a, b, d)
#define check_sub_overflow(a, b, d) __builtin_sub_overflow(a, b, d)
#define check_mul_overflow(a, b, d) __builtin_mul_overflow(a, b, d)
#define array_size(n, size)                                                                        \
	({                                                                                         \
		size_t __bytes;                                                                    \
		check_mul_overflow((size_t)(n), (size_t)(size), &__bytes) ? ~0ul : __bytes;        \
	})
#define size_mul(a, b) array_size(a, b)
#define struct_size(p, member, n) (sizeof(*(p)) + array_size(n, sizeof(*(p)->member)))

#endif
