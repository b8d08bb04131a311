/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_DELAY_H
#define TDXFUZZ_LINUX_DELAY_H
#include <linux/processor.h>

#endif
