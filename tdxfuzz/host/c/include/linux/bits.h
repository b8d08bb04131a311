/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_BITS_H
#define TDXFUZZ_LINUX_BITS_H
#define BITS_PER_LONG 64
#define BITS_PER_BYTE 8
#define BIT(n) (1ul << (n))
#define BIT_ULL(n) (1ull << (n))
#define GENMASK(high, low) ((~0ul << (low)) & (~0ul >> (63 - (high))))
#define GENMASK_ULL(high, low) ((~0ull << (low)) & (~0ull >> (63 - (high))))
#define GENMASK_U64(high, low) GENMASK_ULL(high, low)
#define BIT_MASK(n) (1ul << ((n) % BITS_PER_LONG))
#define BIT_WORD(n) ((n) / BITS_PER_LONG)
#define FIELD_GET(mask, value) (((value) & (mask)) >> __builtin_ctzll(mask))
#define FIELD_PREP(mask, value) (((__typeof__(mask))(value) << __builtin_ctzll(mask)) & (mask))

#endif
