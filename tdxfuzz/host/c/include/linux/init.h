/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_INIT_H
#define TDXFUZZ_LINUX_INIT_H
#include <linux/compiler_types.h>

#endif
