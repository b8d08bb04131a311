/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_CACHE_H
#define TDXFUZZ_LINUX_CACHE_H
#include <linux/compiler_types.h>

#endif
