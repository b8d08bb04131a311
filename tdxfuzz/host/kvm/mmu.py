"""The MMU's TDX side: 4KB guest pages are faulted in and zapped, S-EPT pages come and go.

Source: arch/x86/kvm/mmu/tdp_mmu.c (mirror page tables) and arch/x86/kvm/vmx/tdx.c:
``tdx_sept_link_private_spt``, ``tdx_mem_page_aug``, ``tdx_sept_remove_private_spte``,
``tdx_sept_free_private_spt``; get and put around them as in the v6 series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi import find
from tdxfuzz.abi.address import LEVEL_4K, hpa_of
from tdxfuzz.host.kernel.errno import EBUSY, EIO
from tdxfuzz.host.kvm.control import free_control_page, reclaim_page
from tdxfuzz.host.kvm.rcu import call_rcu
from tdxfuzz.host.kvm.tdx_call import bug_on, call_no_vcpus, call_using
from tdxfuzz.host.kvm.vm import Spte, Vcpu, Vm
from tdxfuzz.module.codes import REMOVAL_HINT

if TYPE_CHECKING:
    from tdxfuzz.host.tdx_core import TdxCore

SEPT_ADD = find("TDH.MEM.SEPT.ADD").number
PAGE_AUG = find("TDH.MEM.PAGE.AUG").number
RANGE_BLOCK = find("TDH.MEM.RANGE.BLOCK").number
TRACK = find("TDH.MEM.TRACK").number
PAGE_REMOVE = find("TDH.MEM.PAGE.REMOVE").number
PAGE_WBINVD = find("TDH.PHYMEM.PAGE.WBINVD").number

TOP_LEVEL = 3
"""Level of the entries in the S-EPT root, which is a TDCS page."""


def fault(host: TdxCore, vm: Vm, vcpu: Vcpu, slot: int) -> int:
    """``kvm_mmu_do_page_fault`` on a private page: 0, -EBUSY to try again, or an error."""
    result = topup(host, vcpu)
    if result:
        return result
    gpa = host.layout.gpa(slot)
    with vm.mmu_lock.read():
        if slot in vm.shared_slots:
            return 0
        for level in range(TOP_LEVEL, LEVEL_4K, -1):
            result = link_sept_page(host, vm, vcpu, gpa, level)
            if result:
                return result
        return map_page(host, vm, vcpu, gpa, host.layout.guest_pfn(vm.id, slot))


def topup(host: TdxCore, vcpu: Vcpu) -> int:
    """``mmu_topup_memory_caches``, before the MMU lock: 0 or -errno.

    A vCPU that runs was initialised, whether or not its control pages are part of the case.
    """
    vcpu.pamt_cache.has_head = True
    return (
        vcpu.sept_cache.topup(TOP_LEVEL)
        or vcpu.pamt_cache.topup(host.layer.pamt_cache_pages * host.pair_pages // 2)
        or host.layer.topup()
    )


def link_sept_page(host: TdxCore, vm: Vm, vcpu: Vcpu, gpa: int, level: int) -> int:
    """``tdp_mmu_link_sp`` with ``tdx_sept_link_private_spt``, if nothing is linked yet."""
    spte = vm.spte(host.sim, level, gpa)
    value = spte.read()
    if value == Spte.PRESENT:
        return 0
    if value == Spte.FROZEN:
        return -EBUSY
    pfn = vcpu.sept_cache.pop()
    assert pfn is not None, "topped up before the lock"
    if not spte.try_freeze():
        vcpu.sept_cache.pages.append(pfn)
        return -EBUSY
    result = sept_add(host, vm, vcpu, gpa, level, pfn)
    if result:
        spte.write(Spte.NOT_PRESENT)
        vcpu.sept_cache.pages.append(pfn)
    else:
        spte.write(Spte.PRESENT, pfn)
    return result


def sept_add(host: TdxCore, vm: Vm, vcpu: Vcpu, gpa: int, level: int, pfn: int) -> int:
    """``tdx_sept_link_private_spt``."""
    result = host.get(pfn, "S-EPT page", vcpu.pamt_cache)
    if result:
        return result
    host.watch.page_used(pfn, "S-EPT page")
    aligned = gpa >> 12 + 9 * level << 12 + 9 * level
    status = call_using(
        host,
        pfn,
        "S-EPT page",
        vcpu.pamt_cache,
        SEPT_ADD,
        rcx=aligned | level,
        rdx=vm.tdr,
        r8=hpa_of(pfn),
    )
    if status.ok:
        return 0
    host.put(pfn, "S-EPT page")
    if status.busy:
        return -EBUSY
    bug_on(host, SEPT_ADD, status)
    return -EIO


def map_page(host: TdxCore, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
    """``tdp_mmu_map_handle_target_level`` with ``tdx_sept_set_private_spte``."""
    spte = vm.spte(host.sim, LEVEL_4K, gpa)
    value = spte.read()
    if value == Spte.PRESENT:
        return 0
    if value == Spte.FROZEN or not spte.try_freeze():
        return -EBUSY
    result = page_aug(host, vm, vcpu, gpa, pfn)
    if result:
        spte.write(Spte.NOT_PRESENT)
    else:
        spte.write(Spte.PRESENT, pfn)
    return result


def page_aug(host: TdxCore, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
    """``tdx_mem_page_aug``: BUSY makes the guest fault again, all else is a bug."""
    result = host.get(pfn, "guest page", vcpu.pamt_cache)
    if result:
        return result
    status = call_using(
        host,
        pfn,
        "guest page",
        vcpu.pamt_cache,
        PAGE_AUG,
        rcx=gpa | LEVEL_4K,
        rdx=vm.tdr,
        r8=hpa_of(pfn),
    )
    if status.ok:
        return 0
    host.put(pfn, "guest page")
    if status.busy:
        return -EBUSY
    bug_on(host, PAGE_AUG, status)
    return -EIO


def zap(host: TdxCore, vm: Vm, slot: int) -> int:
    """Zap one guest page, e.g. for a conversion to shared."""
    gpa = host.layout.gpa(slot)
    with vm.mmu_lock.write():
        spte = vm.spte(host.sim, LEVEL_4K, gpa)
        if spte.value == Spte.PRESENT:
            remove_page(host, vm, gpa, spte)
    return 0


def remove_page(host: TdxCore, vm: Vm, gpa: int, spte: Spte) -> None:
    """``tdx_sept_remove_private_spte``. The caller holds the MMU lock for writing.

    Must not fail: where it does all the same, the page and its reference are leaked.
    """
    pfn = spte.pfn
    spte.write(Spte.NOT_PRESENT)
    rcx = gpa | LEVEL_4K
    status, _ = call_no_vcpus(host, RANGE_BLOCK, rcx=rcx, rdx=vm.tdr)
    if bug_on(host, RANGE_BLOCK, status):
        return
    status, _ = call_no_vcpus(host, TRACK, rcx=vm.tdr)
    if bug_on(host, TRACK, status):
        return
    status, regs = call_no_vcpus(host, PAGE_REMOVE, rcx=rcx, rdx=vm.tdr)
    if bug_on(host, PAGE_REMOVE, status):
        return
    with_key = host.module.platform.key_bits.assign(hpa_of(pfn), vm.hkid)
    status, _ = call_no_vcpus(host, PAGE_WBINVD, rcx=with_key)
    if bug_on(host, PAGE_WBINVD, status):
        return
    host.pages.scrub(pfn)
    host.put(pfn, "guest page", bool(regs.rcx & REMOVAL_HINT))


def convert(host: TdxCore, vm: Vm, slot: int) -> int:
    """``KVM_SET_MEMORY_ATTRIBUTES`` on one page: private to shared, or back.

    To shared, the private page is zapped; back, the next fault maps it.
    """
    gpa = host.layout.gpa(slot)
    with vm.mmu_lock.write():
        if slot in vm.shared_slots:
            vm.shared_slots.discard(slot)
            return 0
        vm.shared_slots.add(slot)
        spte = vm.spte(host.sim, LEVEL_4K, gpa)
        if spte.value == Spte.PRESENT:
            remove_page(host, vm, gpa, spte)
    return 0


def zap_all(host: TdxCore, vm: Vm) -> None:
    """Before the HKID goes: no guest page of 4KB may be left (guest_memfd is released)."""
    with vm.mmu_lock.write():
        for (level, index), spte in sorted(vm.sptes.items()):
            if level == LEVEL_4K and spte.value == Spte.PRESENT:
                remove_page(host, vm, index << 12, spte)


def free_sept_pages(host: TdxCore, vm: Vm) -> None:
    """``tdx_sept_free_private_spt`` for the whole table, once the HKID is gone: at once after
    RECLAIM (v6), or from an RCU callback (v5).
    """
    free = call_rcu if host.layer.frees_sept_from_rcu else free_control_page
    with vm.mmu_lock.write():
        for (level, _), spte in sorted(vm.sptes.items()):
            if level == LEVEL_4K or spte.value != Spte.PRESENT:
                continue
            pfn = spte.pfn
            spte.write(Spte.NOT_PRESENT)
            reclaimed, hint = reclaim_page(host, pfn)
            if reclaimed:
                host.pages.scrub(pfn)
                free(host, pfn, "S-EPT page", hint)
