/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_BITMAP_H
#define TDXFUZZ_LINUX_BITMAP_H
#include <linux/bitops.h>
#include <linux/slab.h>

#define BITS_TO_LONGS(bits) (((bits) + 63) / 64)
#define bitmap_zero(map, bits) memset(map, 0, BITS_TO_LONGS(bits) * sizeof(long))
#define bitmap_zalloc(bits, gfp) ((unsigned long *)kcalloc(BITS_TO_LONGS(bits), sizeof(long), gfp))
#define bitmap_free(map) kfree(map)

static __always_inline __maybe_unused unsigned long find_next_bit(const unsigned long *map,
								   unsigned long size,
								   unsigned long from)
{
	while (from < size && !(map[BIT_WORD(from)] & BIT_MASK(from)))
		from++;
	return from;
}

static __always_inline __maybe_unused unsigned long find_next_zero_bit(const unsigned long *map,
									unsigned long size,
									unsigned long from)
{
	while (from < size && map[BIT_WORD(from)] & BIT_MASK(from))
		from++;
	return from;
}

#define find_first_bit(map, size) find_next_bit(map, size, 0)
#define find_first_zero_bit(map, size) find_next_zero_bit(map, size, 0)
#define bitmap_empty(map, bits) (find_first_bit(map, bits) >= (bits))
#define bitmap_full(map, bits) (find_first_zero_bit(map, bits) >= (bits))
#define for_each_set_bit(bit, map, size)                                                           \
	for ((bit) = find_first_bit(map, size); (bit) < (size);                                    \
	     (bit) = find_next_bit(map, size, (bit) + 1))

#endif
