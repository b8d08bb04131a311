/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_HIGHMEM_H
#define TDXFUZZ_LINUX_HIGHMEM_H
#include <linux/mm.h>

#endif
