/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_RWLOCK_H
#define TDXFUZZ_LINUX_RWLOCK_H
#include <linux/spinlock.h>

#endif
