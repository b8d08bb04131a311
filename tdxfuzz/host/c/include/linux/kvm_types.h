/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_KVM_TYPES_H
#define TDXFUZZ_LINUX_KVM_TYPES_H
#include <linux/gfp.h>

#define KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE 40
/* As far as a layer draws from one. */
struct kvm_mmu_memory_cache {
	gfp_t gfp_zero;
	gfp_t gfp_custom;
	u64 init_value;
	int capacity;
	int nobjs;
	void *objects[KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE];
};

static __always_inline __maybe_unused void *kvm_mmu_memory_cache_alloc(
	struct kvm_mmu_memory_cache *cache)
{
	return cache->nobjs ? cache->objects[--cache->nobjs] : NULL;
}

#endif
