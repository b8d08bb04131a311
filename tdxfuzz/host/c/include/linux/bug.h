/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_BUG_H
#define TDXFUZZ_LINUX_BUG_H
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/printk.h>

/* A warning is told at each time, also those that the kernel prints once. */
#define WARN_ON(condition)                                                                         \
	({                                                                                         \
		bool __warned = !!(condition);                                                     \
		if (unlikely(__warned))                                                            \
			tdxc_warn(#condition, __FILE__, __LINE__, __func__);                       \
		unlikely(__warned);                                                                \
	})
#define WARN(condition, format...)                                                                 \
	({                                                                                         \
		bool __warned = !!(condition);                                                     \
		if (unlikely(__warned)) {                                                          \
			tdxc_say(format);                                                        \
			tdxc_warn(#condition, __FILE__, __LINE__, __func__);                       \
		}                                                                                  \
		unlikely(__warned);                                                                \
	})
#define WARN_ON_ONCE(condition) WARN_ON(condition)
#define WARN_ONCE(condition, format...) WARN(condition, format)
#define WARN_RATELIMIT(condition, format...) WARN(condition, format)
#define VM_WARN_ON(condition) ((void)WARN_ON(condition))
#define VM_WARN_ON_ONCE(condition) WARN_ON(condition)
#define VM_BUG_ON(condition) BUG_ON(condition)
/* The machine is dead: the run ends, exit code 2. */
#define BUG() tdxc_bug("BUG()", __FILE__, __LINE__)
#define BUG_ON(condition)                                                                          \
	do {                                                                                       \
		if (unlikely(condition))                                                           \
			tdxc_bug("BUG_ON(" #condition ")", __FILE__, __LINE__);                    \
	} while (0)

#endif
