/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_BOTTOM_HALF_H
#define TDXFUZZ_LINUX_BOTTOM_HALF_H
#include <linux/preempt.h>

#endif
