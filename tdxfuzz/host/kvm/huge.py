"""2MB guest pages: mapped whole, split, zapped, merged again.

Source: the huge-page series that ran beside dynamic PAMT, v3 20260106101646.24809-1 and v5
20260129011517.3545883-1 (30/45 splits): ``tdx_sept_split_private_spte``. An area of a guest is
2MB of its addresses with a 2MB range of its own behind it. No pair is got for a 2MB mapping: the
range's PAMT_2M entry holds either the page's own metadata or the pair. PROMOTE has no user in
Linux; it is here as the way back that a split could have.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_2M, LEVEL_4K, SIZE_4K
from tdxfuzz.abi.registers import DEMOTE_PAIR
from tdxfuzz.host.kernel.errno import EBUSY, EIO, ENOMEM
from tdxfuzz.host.kvm import seamcalls as leaf
from tdxfuzz.host.kvm.mmu import TOP_LEVEL, MmuPaths
from tdxfuzz.host.kvm.vm import Spte, Vcpu, Vm
from tdxfuzz.module.codes import REMOVAL_HINT

if TYPE_CHECKING:
    from tdxfuzz.abi import Status
    from tdxfuzz.host.design import Pair
    from tdxfuzz.host.kernel.page import PageCache

RESTARTABLE = "INTERRUPTED_RESTARTABLE"

NOT_ALIKE = "EPT_INVALID_PROMOTE_CONDITIONS"
"""The guest has accepted some of the 4KB pages, and not the others."""

GUEST_PAGE = "guest page"
SEPT_PAGE = "S-EPT page"

SPLIT_SEPT_PAGES = 1
"""What a split takes from the cache of S-EPT pages."""

PAIRS_OF_SPLIT = 2
"""For the range of the new S-EPT page, and for the range that is split."""


class HugePaths(MmuPaths):
    """2MB pages of a guest."""

    def fault_area(self, vm: Vm, vcpu: Vcpu, area: int) -> int:
        """A fault on an area: 2MB are mapped at once, unless the guest accepts 4KB pages there, 4KB
        pages were mapped before, or the design does not count splits; then its first page is. 0,
        -EBUSY, or an error.
        """
        result = self.topup(vcpu)
        if result:
            return result
        host = self.host
        gpa, pfn = host.layout.area_gpa(area), host.layout.area_pfn(vm.id, area)
        with vm.mmu_lock.read():
            if self.is_dead(vm):
                return -EIO
            for level in range(TOP_LEVEL, LEVEL_2M, -1):
                result = self.link_sept_page(vm, vcpu, gpa, level)
                if result:
                    return result
            value = vm.spte(host.sim, LEVEL_2M, gpa).read()
            if value == Spte.HUGE:
                return 0
            small = area in vm.small_areas or not host.layer.counts_splits
            if value != Spte.PRESENT and not small:
                return self.map_huge(vm, gpa, pfn)
            return self.link_sept_page(vm, vcpu, gpa, LEVEL_2M) or self.map_page(vm, vcpu, gpa, pfn)

    def map_huge(self, vm: Vm, gpa: int, pfn: int) -> int:
        """``tdx_mem_page_aug`` at 2MB: get is left out, for the level is not 4KB."""
        spte = vm.spte(self.host.sim, LEVEL_2M, gpa)
        if not spte.try_freeze():
            return -EBUSY
        status, _ = self.page_aug(vm, gpa, LEVEL_2M, pfn)
        if status.ok:
            spte.write(Spte.HUGE, pfn)
            return 0
        spte.write(Spte.NOT_PRESENT)
        if status.busy:
            return -EBUSY
        self.bug_on(leaf.PAGE_AUG, status)
        return -EIO

    def accept_small(self, vm: Vm, vcpu: Vcpu, area: int) -> int:
        """The guest accepts an area's pages as 4KB ones: what is mapped at 2MB is split, and from
        now on the area is mapped at 4KB. 0, -EBUSY, or an error.
        """
        if not self.host.layer.split_cache_per_vm:
            result = self.topup(vcpu)
            return result or self._accept_small(vm, area, vcpu.sept_cache, vcpu.pamt_cache)
        with vm.split_lock:
            pairs = PAIRS_OF_SPLIT * self.host.pair_pages
            return (
                vm.split_sept_cache.topup(SPLIT_SEPT_PAGES)
                or vm.split_pamt_cache.topup(pairs)
                or self.host.layer.topup()
                or self._accept_small(vm, area, vm.split_sept_cache, vm.split_pamt_cache)
            )

    def _accept_small(self, vm: Vm, area: int, sept_cache: PageCache, pamt_cache: PageCache) -> int:
        with vm.mmu_lock.write():
            if self.is_dead(vm):
                return -EIO
            vm.small_areas.add(area)
            return self.split(vm, area, sept_cache, pamt_cache)

    def split(self, vm: Vm, area: int, sept_cache: PageCache, pamt_cache: PageCache) -> int:
        """``tdx_sept_split_private_spte``, if the area is mapped at 2MB. The caller holds the MMU
        lock for writing. Whatever fails before DEMOTE is undone, and the range is unblocked.
        """
        host = self.host
        gpa, pfn = host.layout.area_gpa(area), host.layout.area_pfn(vm.id, area)
        spte = vm.spte(host.sim, LEVEL_2M, gpa)
        if spte.value != Spte.HUGE:
            return 0
        if self.block_and_track(vm, gpa, LEVEL_2M):
            return -EIO
        sept_pfn = sept_cache.pop()
        if sept_pfn is None:
            return self.unblock(vm, gpa, -ENOMEM)
        result = host.get(sept_pfn, SEPT_PAGE, pamt_cache)
        if result:
            sept_cache.pages.append(sept_pfn)
            return self.unblock(vm, gpa, result)

        def demote(pair: Pair) -> Status:
            host.watch.page_used(sept_pfn, SEPT_PAGE)
            for page in pair:
                host.watch.page_used(page, "PAMT page")

            def once() -> Status:
                status, _ = self.page_demote(vm, gpa, sept_pfn, pair)
                # Modules before 1.5.28 can be interrupted here.
                while status.name == RESTARTABLE:
                    status, _ = self.page_demote(vm, gpa, sept_pfn, pair)
                return status

            status = self.with_pair(sept_pfn, SEPT_PAGE, pamt_cache, once)
            if status.ok:
                host.hold_all(self.small_pfns(pfn), GUEST_PAGE)
            return status

        was_inside = self.is_vcpu_inside(vm)
        status = host.demote(pfn, pamt_cache, demote)
        if status is not None and status.busy:
            host.watch.path_busy(was_inside or self.is_vcpu_inside(vm))
            # tdh_do_no_vcpus runs the whole wrapper once more: it draws a fresh pair.
            with self.no_vcpus(vm):
                status = host.demote(pfn, pamt_cache, demote)
        if status is None or not status.ok:
            host.put(sept_pfn, SEPT_PAGE)
            sept_cache.pages.append(sept_pfn)
            if status is None:
                return self.unblock(vm, gpa, -ENOMEM)
            self.bug_on(leaf.PAGE_DEMOTE, status)
            return -EIO
        # Whoever reads these holds the MMU lock, which we hold for writing.
        spte.value, spte.pfn = Spte.PRESENT, sept_pfn
        for i in host.layout.split_indices:
            small = vm.spte(host.sim, LEVEL_4K, gpa + i * SIZE_4K)
            small.value, small.pfn = Spte.PRESENT, pfn + i
        return 0

    def unblock(self, vm: Vm, gpa: int, result: int) -> int:
        """Undo the blocking of a range whose split or merge does not take place; ``result``."""
        status, _ = self.do_no_vcpus(vm, partial(self.range_unblock, vm, gpa, LEVEL_2M))
        return -EIO if self.bug_on(leaf.RANGE_UNBLOCK, status) else result

    def zap_area(self, vm: Vm, area: int) -> int:
        """A memslot is deleted and comes back: what is mapped of an area goes, at either size.

        S-EPT pages stay until the TD goes; whether the guest accepts 4KB pages is forgotten.
        """
        gpa = self.host.layout.area_gpa(area)
        with vm.mmu_lock.write():
            vm.small_areas.discard(area)
            spte = vm.spte(self.host.sim, LEVEL_2M, gpa)
            if spte.value == Spte.HUGE:
                self.remove_huge(vm, gpa, spte)
            for i in self.host.layout.split_indices:
                key = LEVEL_4K, (gpa >> 12) + i
                small = vm.sptes.get(key)
                if small is not None and small.value == Spte.PRESENT:
                    self.remove_page(vm, gpa + i * SIZE_4K, small)
        return 0

    def remove_huge(self, vm: Vm, gpa: int, spte: Spte) -> None:
        """``tdx_sept_remove_private_spte`` at 2MB: no put, for there was no get."""
        pfn = spte.pfn
        spte.write(Spte.NOT_PRESENT)
        if not vm.hkid:
            if self.reclaim_page(pfn)[0]:
                for page in self.small_pfns(pfn):
                    self.host.pages.scrub(page)
            return
        if self.block_and_track(vm, gpa, LEVEL_2M):
            return
        status, _ = self.do_no_vcpus(vm, partial(self.page_remove, vm, gpa, LEVEL_2M))
        if self.bug_on(leaf.PAGE_REMOVE, status):
            return
        for page in self.small_pfns(pfn):
            status, _ = self.do_no_vcpus(vm, partial(self.page_wbinvd, vm, page))
            if self.bug_on(leaf.PAGE_WBINVD, status):
                return
            self.host.pages.scrub(page)

    def promote_area(self, vm: Vm, area: int) -> int:
        """The 4KB pages of an area are merged, if all are mapped; the S-EPT page and the pair
        come back. Not in Linux.
        """
        host = self.host
        gpa, pfn = host.layout.area_gpa(area), host.layout.area_pfn(vm.id, area)
        with vm.mmu_lock.write():
            if self.is_dead(vm):
                return -EIO
            spte = vm.spte(host.sim, LEVEL_2M, gpa)
            keys = [(LEVEL_4K, (gpa >> 12) + i) for i in host.layout.split_indices]
            smalls = [vm.sptes.get(key) for key in keys]
            is_mapped = all(s is not None and s.value == Spte.PRESENT for s in smalls)
            if spte.value != Spte.PRESENT or not is_mapped:
                return 0
            if self.block_and_track(vm, gpa, LEVEL_2M):
                return -EIO
            hint = False

            def promote() -> tuple[Status, Pair]:
                nonlocal hint
                make = partial(self.page_promote, vm, gpa)
                status, regs = self.call(make)
                while status.name == RESTARTABLE:
                    status, regs = self.call(make)
                if status.ok:
                    hint = bool(regs.rcx & REMOVAL_HINT)
                    host.drop_all(self.small_pfns(pfn), GUEST_PAGE)
                pair = [getattr(regs, name) >> 12 for name in DEMOTE_PAIR[: host.pair_pages]]
                return status, tuple(pair)

            status = host.promote(pfn, promote)
            if status.name == NOT_ALIKE:
                return self.unblock(vm, gpa, 0)
            if self.bug_on(leaf.PAGE_PROMOTE, status):
                return self.unblock(vm, gpa, -EIO)
            sept_pfn = spte.pfn
            spte.value, spte.pfn = Spte.HUGE, pfn
            for key in keys:
                del vm.sptes[key]
            vm.small_areas.discard(area)
            host.pages.scrub(sept_pfn)
            host.put(sept_pfn, SEPT_PAGE, hint)
            host.pages.free_page(sept_pfn)
        return 0

    def small_pfns(self, pfn: int) -> list[int]:
        """The 4KB pages of a 2MB page."""
        return [pfn + i for i in self.host.layout.split_indices]
