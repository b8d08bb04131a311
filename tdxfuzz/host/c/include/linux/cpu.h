/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_CPU_H
#define TDXFUZZ_LINUX_CPU_H
#include <linux/smp.h>

#endif
