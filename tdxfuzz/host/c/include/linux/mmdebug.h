/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_MMDEBUG_H
#define TDXFUZZ_LINUX_MMDEBUG_H
#include <linux/bug.h>

#define VM_BUG_ON_PAGE(condition, page) ((void)(page), VM_BUG_ON(condition))
#define VM_WARN_ON_ONCE_PAGE(condition, page) ((void)(page), VM_WARN_ON_ONCE(condition))

#endif
