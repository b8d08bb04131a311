/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_ERR_H
#define TDXFUZZ_LINUX_ERR_H
#include <linux/compiler.h>
#include <linux/errno.h>

#define IS_ERR_VALUE(x) unlikely((unsigned long)(void *)(x) >= (unsigned long)-MAX_ERRNO)

static __always_inline __maybe_unused void *ERR_PTR(long error) { return (void *)error; }
static __always_inline __maybe_unused long PTR_ERR(const void *ptr) { return (long)ptr; }
static __always_inline __maybe_unused bool IS_ERR(const void *ptr) { return IS_ERR_VALUE(ptr); }
static __always_inline __maybe_unused bool IS_ERR_OR_NULL(const void *ptr)
{
	return !ptr || IS_ERR_VALUE(ptr);
}
static __always_inline __maybe_unused int PTR_ERR_OR_ZERO(const void *ptr)
{
	return IS_ERR(ptr) ? (int)PTR_ERR(ptr) : 0;
}
#define ERR_CAST(ptr) ((void *)(ptr))

#endif
