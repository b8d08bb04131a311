/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_JUMP_LABEL_H
#define TDXFUZZ_LINUX_JUMP_LABEL_H
#include <asm/barrier.h>

/* A branch that is switched is a read of its own, and no step: keys change in init only. */
struct static_key_true { int enabled; };
struct static_key_false { int enabled; };
#define DEFINE_STATIC_KEY_TRUE(name) struct static_key_true name = { 1 }
#define DEFINE_STATIC_KEY_FALSE(name) struct static_key_false name = { 0 }
#define static_branch_likely(key) likely((key)->enabled)
#define static_branch_unlikely(key) unlikely((key)->enabled)
#define static_branch_enable(key) ((void)((key)->enabled = 1))
#define static_branch_disable(key) ((void)((key)->enabled = 0))

#endif
