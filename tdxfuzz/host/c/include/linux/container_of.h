/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_CONTAINER_OF_H
#define TDXFUZZ_LINUX_CONTAINER_OF_H
#include <linux/types.h>

#define container_of(ptr, type, member)                                                            \
	({                                                                                         \
		void *__member = (void *)(ptr);                                                    \
		(type *)((char *)__member - offsetof(type, member));                               \
	})
#define container_of_const container_of

#endif
