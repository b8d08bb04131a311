/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_KERNEL_H
#define TDXFUZZ_LINUX_KERNEL_H
#include <linux/align.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/container_of.h>
#include <linux/errno.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/printk.h>
#include <linux/types.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define sizeof_field(type, member) sizeof(((type *)0)->member)
#define offsetofend(type, member) (offsetof(type, member) + sizeof_field(type, member))
#define upper_32_bits(n) ((u32)((n) >> 32))
#define lower_32_bits(n) ((u32)(n))
#define snprintf(buffer, size, format...) tdxc_format(buffer, size, format)
#define might_sleep() tdxc_might_sleep("might_sleep()")
#define might_sleep_if(condition) do { if (condition) might_sleep(); } while (0)
#define INT_MAX 0x7fffffff
#define UINT_MAX 0xffffffffu
#define ULONG_MAX 0xfffffffffffffffful
#define U64_MAX 0xffffffffffffffffull

#endif
