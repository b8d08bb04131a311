/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_PRINTK_H
#define TDXFUZZ_LINUX_PRINTK_H
#include <tdxfuzz/runtime.h>

#ifndef pr_fmt
#define pr_fmt(fmt) fmt
#endif
#define KERN_ERR
#define KERN_WARNING
#define KERN_INFO
#define KERN_DEBUG
/* A line of the trace. */
#define printk(format, ...) tdxc_print(format, ##__VA_ARGS__)
#define pr_emerg(format, ...) printk(pr_fmt(format), ##__VA_ARGS__)
#define pr_err pr_emerg
#define pr_warn pr_emerg
#define pr_notice pr_emerg
#define pr_info pr_emerg
#define pr_cont pr_emerg
#define pr_err_once pr_emerg
#define pr_warn_once pr_emerg
#define pr_info_once pr_emerg
#define pr_err_ratelimited pr_emerg
#define pr_warn_ratelimited pr_emerg
#define pr_info_ratelimited pr_emerg
#define __tdxc_no_print(format, ...)                                                               \
	do {                                                                                       \
		if (0)                                                                             \
			tdxc_print(format, ##__VA_ARGS__);                                         \
	} while (0)
#define pr_debug(format, ...) __tdxc_no_print(pr_fmt(format), ##__VA_ARGS__)
#define pr_debug_ratelimited pr_debug
#define pr_devel pr_debug

#endif
