/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_HASH_H
#define TDXFUZZ_LINUX_HASH_H
#include <linux/types.h>

#define GOLDEN_RATIO_64 0x61c8864680b583ebull
#define hash_64(value, bits) ((u32)(((u64)(value) * GOLDEN_RATIO_64) >> (64 - (bits))))
#define hash_long(value, bits) hash_64((u64)(value), bits)
#define hash_32(value, bits) (((u32)(value) * 0x61c88647u) >> (32 - (bits)))
#define hash_ptr(p, bits) hash_64((unsigned long)(p), bits)

#endif
