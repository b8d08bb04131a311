/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_LINUX_KVM_TYPES_H
#define TDXFUZZ_LINUX_KVM_TYPES_H
#include <asm/page.h>
#include <linux/bug.h>
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
	void *object;

	if (!WARN_ON(!cache->nobjs))
		return cache->objects[--cache->nobjs];
	object = (void *)__get_free_page(GFP_ATOMIC | __GFP_ACCOUNT | cache->gfp_zero);
	BUG_ON(!object);
	if (cache->init_value)
		for (unsigned long i = 0; i < PAGE_SIZE / sizeof(u64); i++)
			((u64 *)object)[i] = cache->init_value;
	return object;
}

#endif
