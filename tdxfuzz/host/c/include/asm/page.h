/* SPDX-License-Identifier: MIT */
#ifndef TDXFUZZ_ASM_PAGE_H
#define TDXFUZZ_ASM_PAGE_H
#include <asm/page_types.h>

/* The machine has PFNs from TDXC_FIRST_PFN up to max_pfn; a struct page beyond is out of bounds. */
#define max_pfn (TDXC_FIRST_PFN + TDXC_PFNS)
#define pfn_valid(pfn) ((u64)(pfn) - TDXC_FIRST_PFN < TDXC_PFNS)
#define pfn_to_page(pfn) ((struct page *)TDXC_MEM_MAP + ((u64)(pfn) - TDXC_FIRST_PFN))
#define page_to_pfn(p)                                                                          \
	((unsigned long)((p) - (struct page *)TDXC_MEM_MAP) + (unsigned long)TDXC_FIRST_PFN)
#define page_to_phys(p) ((phys_addr_t)page_to_pfn(p) << PAGE_SHIFT)
#define phys_to_page(phys) pfn_to_page((phys) >> PAGE_SHIFT)

/* The direct map: what a page holds may be touched while the layer owns the page. */
#define __TDXC_OFFSET ((unsigned long)TDXC_DIRECT_MAP - ((unsigned long)TDXC_FIRST_PFN << PAGE_SHIFT))
#define __va(phys) ((void *)((unsigned long)(phys) + __TDXC_OFFSET))
#define __pa(virt) ((unsigned long)(virt) - __TDXC_OFFSET)
#define phys_to_virt(phys) __va(phys)
#define virt_to_phys(virt) ((phys_addr_t)__pa(virt))
#define page_address(p) __va(page_to_phys(p))
#define page_to_virt(p) page_address(p)
#define virt_to_page(virt) phys_to_page(__pa(virt))
#define virt_to_pfn(virt) (__pa(virt) >> PAGE_SHIFT)
#define pfn_to_kaddr(pfn) __va(PFN_PHYS(pfn))
#define virt_addr_valid(virt) pfn_valid(virt_to_pfn(virt))

#endif
