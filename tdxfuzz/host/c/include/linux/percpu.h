/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_PERCPU_H
#define TDXFUZZ_LINUX_PERCPU_H
#include <linux/percpu-defs.h>

#endif
