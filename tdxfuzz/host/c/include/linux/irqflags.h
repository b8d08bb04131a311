/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_IRQFLAGS_H
#define TDXFUZZ_LINUX_IRQFLAGS_H
#include <linux/preempt.h>

#endif
