/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_STRING_H
#define TDXFUZZ_LINUX_STRING_H
#include <linux/types.h>

/* Each byte is an access. */
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

#endif
