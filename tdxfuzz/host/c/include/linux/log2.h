/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_LOG2_H
#define TDXFUZZ_LINUX_LOG2_H
#define ilog2(n) (63 - __builtin_clzll((unsigned long long)(n)))
#define is_power_of_2(n) ((n) && !((n) & ((n) - 1)))
#define roundup_pow_of_two(n) ((n) <= 1 ? 1ul : 1ul << (ilog2((n) - 1) + 1))
#define order_base_2(n) ((n) > 1 ? ilog2((n) - 1) + 1 : 0)

#endif
