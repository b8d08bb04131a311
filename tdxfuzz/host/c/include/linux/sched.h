/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_SCHED_H
#define TDXFUZZ_LINUX_SCHED_H
#include <linux/kernel.h>
#include <linux/processor.h>

#endif
