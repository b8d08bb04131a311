/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_MATH_H
#define TDXFUZZ_LINUX_MATH_H
#include <linux/align.h>

#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define DIV_ROUND_UP_ULL DIV_ROUND_UP
#define DIV_ROUND_DOWN_ULL(n, d) ((n) / (d))
#define DIV_ROUND_CLOSEST(n, d) (((n) + (d) / 2) / (d))
#define round_up(x, y) ALIGN(x, y)
#define round_down(x, y) ALIGN_DOWN(x, y)
#define roundup(x, y) ((((x) + ((y) - 1)) / (y)) * (y))
#define rounddown(x, y) ((x) - (x) % (y))
#define abs(x) ((x) < 0 ? -(x) : (x))

#endif
