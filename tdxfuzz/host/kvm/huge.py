"""2MB guest pages: mapped whole, split, zapped, merged again.

Source: the huge-page series that ran beside dynamic PAMT, v3 20260106101646.24809-1 and v5
20260129011517.3545883-1 (30/45 splits): ``tdx_sept_split_private_spte``. An area of a guest is
2MB of its addresses with a 2MB range of its own behind it. No pair is got for a 2MB mapping: the
range's PAMT_2M entry holds either the page's own metadata or the pair. PROMOTE has no user in
Linux; it is here as the way back that a split could have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi import find
from tdxfuzz.abi.address import LEVEL_2M, LEVEL_4K, SIZE_4K, hpa_of
from tdxfuzz.abi.registers import DEMOTE_PAIR
from tdxfuzz.host.kernel.errno import EBUSY, EIO, ENOMEM
from tdxfuzz.host.kvm import mmu
from tdxfuzz.host.kvm.tdx_call import bug_on, call, call_no_vcpus, with_pair
from tdxfuzz.host.kvm.vm import Spte, Vcpu, Vm
from tdxfuzz.module.codes import REMOVAL_HINT

if TYPE_CHECKING:
    from tdxfuzz.abi import Status
    from tdxfuzz.host.design import Pair
    from tdxfuzz.host.kernel.page import PageCache
    from tdxfuzz.host.tdx_core import TdxCore

PAGE_DEMOTE = find("TDH.MEM.PAGE.DEMOTE").number
PAGE_PROMOTE = find("TDH.MEM.PAGE.PROMOTE").number
RANGE_UNBLOCK = find("TDH.MEM.RANGE.UNBLOCK").number

RESTARTABLE = "INTERRUPTED_RESTARTABLE"

GUEST_PAGE = "guest page"
SEPT_PAGE = "S-EPT page"

SPLIT_SEPT_PAGES = 1
"""What a split takes from the cache of S-EPT pages."""

PAIRS_OF_SPLIT = 2
"""For the range of the new S-EPT page, and for the range that is split."""


def fault(host: TdxCore, vm: Vm, vcpu: Vcpu, area: int) -> int:
    """A fault on an area: 2MB are mapped at once, unless the guest accepts 4KB pages there, 4KB
    pages were mapped before, or the design does not count splits; then its first page is. 0,
    -EBUSY, or an error.
    """
    result = mmu.topup(host, vcpu)
    if result:
        return result
    gpa, pfn = host.layout.area_gpa(area), host.layout.area_pfn(vm.id, area)
    with vm.mmu_lock.read():
        for level in range(mmu.TOP_LEVEL, LEVEL_2M, -1):
            result = mmu.link_sept_page(host, vm, vcpu, gpa, level)
            if result:
                return result
        value = vm.spte(host.sim, LEVEL_2M, gpa).read()
        if value == Spte.HUGE:
            return 0
        small = area in vm.small_areas or not host.layer.counts_splits
        if value != Spte.PRESENT and not small:
            return map_huge(host, vm, gpa, pfn)
        return mmu.link_sept_page(host, vm, vcpu, gpa, LEVEL_2M) or mmu.map_page(
            host, vm, vcpu, gpa, pfn
        )


def map_huge(host: TdxCore, vm: Vm, gpa: int, pfn: int) -> int:
    """``tdx_mem_page_aug`` at 2MB: get is left out, for the level is not 4KB."""
    spte = vm.spte(host.sim, LEVEL_2M, gpa)
    if not spte.try_freeze():
        return -EBUSY
    status, _ = host.seamcall(mmu.PAGE_AUG, rcx=gpa | LEVEL_2M, rdx=vm.tdr, r8=hpa_of(pfn))
    if status.ok:
        spte.write(Spte.HUGE, pfn)
        return 0
    spte.write(Spte.NOT_PRESENT)
    if status.busy:
        return -EBUSY
    bug_on(host, mmu.PAGE_AUG, status)
    return -EIO


def accept_small(host: TdxCore, vm: Vm, vcpu: Vcpu, area: int) -> int:
    """The guest accepts an area's pages as 4KB ones: what is mapped at 2MB is split, and from
    now on the area is mapped at 4KB. 0, -EBUSY, or an error.
    """
    if not host.layer.split_cache_per_vm:
        result = mmu.topup(host, vcpu)
        return result or _accept_small(host, vm, area, vcpu.sept_cache, vcpu.pamt_cache)
    with vm.split_lock:
        pairs = PAIRS_OF_SPLIT * host.pair_pages
        return (
            vm.split_sept_cache.topup(SPLIT_SEPT_PAGES)
            or vm.split_pamt_cache.topup(pairs)
            or host.layer.topup()
            or _accept_small(host, vm, area, vm.split_sept_cache, vm.split_pamt_cache)
        )


def _accept_small(
    host: TdxCore, vm: Vm, area: int, sept_cache: PageCache, pamt_cache: PageCache
) -> int:
    with vm.mmu_lock.write():
        vm.small_areas.add(area)
        return split(host, vm, area, sept_cache, pamt_cache)


def split(host: TdxCore, vm: Vm, area: int, sept_cache: PageCache, pamt_cache: PageCache) -> int:
    """``tdx_sept_split_private_spte``, if the area is mapped at 2MB. The caller holds the MMU
    lock for writing. Whatever fails before DEMOTE is undone, and the range is unblocked.
    """
    gpa, pfn = host.layout.area_gpa(area), host.layout.area_pfn(vm.id, area)
    spte = vm.spte(host.sim, LEVEL_2M, gpa)
    if spte.value != Spte.HUGE:
        return 0
    if block_and_track(host, vm, gpa):
        return -EIO
    sept_pfn = sept_cache.pop()
    if sept_pfn is None:
        return unblock(host, vm, gpa, -ENOMEM)
    result = host.get(sept_pfn, SEPT_PAGE, pamt_cache)
    if result:
        sept_cache.pages.append(sept_pfn)
        return unblock(host, vm, gpa, result)

    def page_demote(pair: Pair) -> Status:
        host.watch.page_used(sept_pfn, SEPT_PAGE)
        for page in pair:
            host.watch.page_used(page, "PAMT page")
        registers = dict(zip(DEMOTE_PAIR, map(hpa_of, pair), strict=False))
        registers |= {"rcx": gpa | LEVEL_2M, "rdx": vm.tdr, "r8": hpa_of(sept_pfn)}

        def once() -> Status:
            status, _ = host.seamcall(PAGE_DEMOTE, **registers)
            # Modules before 1.5.28 can be interrupted here.
            while status.name == RESTARTABLE:
                status, _ = host.seamcall(PAGE_DEMOTE, **registers)
            return status

        status = with_pair(host, sept_pfn, SEPT_PAGE, pamt_cache, once)
        if status.ok:
            host.hold_all(small_pfns(host, pfn), GUEST_PAGE)
        return status

    status = host.demote(pfn, pamt_cache, page_demote)
    if status is not None and status.busy:
        # tdh_do_no_vcpus runs the whole wrapper once more: it draws a fresh pair.
        status = host.demote(pfn, pamt_cache, page_demote)
    if status is None or not status.ok:
        host.put(sept_pfn, SEPT_PAGE)
        sept_cache.pages.append(sept_pfn)
        if status is None:
            return unblock(host, vm, gpa, -ENOMEM)
        bug_on(host, PAGE_DEMOTE, status)
        return -EIO
    # Whoever reads these holds the MMU lock, which we hold for writing.
    spte.value, spte.pfn = Spte.PRESENT, sept_pfn
    for i in host.layout.split_indices:
        small = vm.spte(host.sim, LEVEL_4K, gpa + i * SIZE_4K)
        small.value, small.pfn = Spte.PRESENT, pfn + i
    return 0


def block_and_track(host: TdxCore, vm: Vm, gpa: int) -> bool:
    """RANGE.BLOCK at 2MB, TRACK, and the kick; whether it failed."""
    status, _ = call_no_vcpus(host, mmu.RANGE_BLOCK, rcx=gpa | LEVEL_2M, rdx=vm.tdr)
    if bug_on(host, mmu.RANGE_BLOCK, status):
        return True
    status, _ = call_no_vcpus(host, mmu.TRACK, rcx=vm.tdr)
    return bug_on(host, mmu.TRACK, status)


def unblock(host: TdxCore, vm: Vm, gpa: int, result: int) -> int:
    """Undo the blocking of a range whose split or merge does not take place; ``result``."""
    status, _ = call_no_vcpus(host, RANGE_UNBLOCK, rcx=gpa | LEVEL_2M, rdx=vm.tdr)
    return -EIO if bug_on(host, RANGE_UNBLOCK, status) else result


def zap(host: TdxCore, vm: Vm, area: int) -> int:
    """A memslot is deleted and comes back: what is mapped of an area goes, at either size.

    S-EPT pages stay until the TD goes; whether the guest accepts 4KB pages is forgotten.
    """
    gpa = host.layout.area_gpa(area)
    with vm.mmu_lock.write():
        vm.small_areas.discard(area)
        spte = vm.spte(host.sim, LEVEL_2M, gpa)
        if spte.value == Spte.HUGE:
            remove_huge(host, vm, gpa, spte)
        for i in host.layout.split_indices:
            key = LEVEL_4K, (gpa >> 12) + i
            small = vm.sptes.get(key)
            if small is not None and small.value == Spte.PRESENT:
                mmu.remove_page(host, vm, gpa + i * SIZE_4K, small)
    return 0


def remove_huge(host: TdxCore, vm: Vm, gpa: int, spte: Spte) -> None:
    """``tdx_sept_remove_private_spte`` at 2MB: no put, for there was no get."""
    pfn = spte.pfn
    spte.write(Spte.NOT_PRESENT)
    if block_and_track(host, vm, gpa):
        return
    status, _ = call_no_vcpus(host, mmu.PAGE_REMOVE, rcx=gpa | LEVEL_2M, rdx=vm.tdr)
    if bug_on(host, mmu.PAGE_REMOVE, status):
        return
    for page in small_pfns(host, pfn):
        with_key = host.module.platform.key_bits.assign(hpa_of(page), vm.hkid)
        status, _ = call_no_vcpus(host, mmu.PAGE_WBINVD, rcx=with_key)
        if bug_on(host, mmu.PAGE_WBINVD, status):
            return


def promote(host: TdxCore, vm: Vm, area: int) -> int:
    """The 4KB pages of an area are merged, if all are mapped; the S-EPT page and the pair
    come back. Not in Linux.
    """
    gpa, pfn = host.layout.area_gpa(area), host.layout.area_pfn(vm.id, area)
    with vm.mmu_lock.write():
        spte = vm.spte(host.sim, LEVEL_2M, gpa)
        keys = [(LEVEL_4K, (gpa >> 12) + i) for i in host.layout.split_indices]
        smalls = [vm.sptes.get(key) for key in keys]
        if spte.value != Spte.PRESENT or any(s is None or s.value != Spte.PRESENT for s in smalls):
            return 0
        if block_and_track(host, vm, gpa):
            return -EIO
        hint = False

        def page_promote() -> tuple[Status, Pair]:
            nonlocal hint
            status, regs = call(host, PAGE_PROMOTE, rcx=gpa | LEVEL_2M, rdx=vm.tdr)
            while status.name == RESTARTABLE:
                status, regs = call(host, PAGE_PROMOTE, rcx=gpa | LEVEL_2M, rdx=vm.tdr)
            if status.ok:
                hint = bool(regs.rcx & REMOVAL_HINT)
                host.drop_all(small_pfns(host, pfn), GUEST_PAGE)
            pair = [getattr(regs, name) >> 12 for name in DEMOTE_PAIR[: host.pair_pages]]
            return status, tuple(pair)

        status = host.promote(pfn, page_promote)
        if bug_on(host, PAGE_PROMOTE, status):
            return unblock(host, vm, gpa, -EIO)
        sept_pfn = spte.pfn
        spte.value, spte.pfn = Spte.HUGE, pfn
        for key in keys:
            del vm.sptes[key]
        vm.small_areas.discard(area)
        host.pages.scrub(sept_pfn)
        host.put(sept_pfn, SEPT_PAGE, hint)
        host.pages.free_page(sept_pfn)
    return 0


def small_pfns(host: TdxCore, pfn: int) -> list[int]:
    """The 4KB pages of a 2MB page."""
    return [pfn + i for i in host.layout.split_indices]
