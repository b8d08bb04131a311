"""The MMU's TDX side: 4KB guest pages are faulted in and zapped, S-EPT pages come and go.

Source: arch/x86/kvm/mmu/tdp_mmu.c (mirror page tables) and arch/x86/kvm/vmx/tdx.c:
``tdx_sept_link_private_spt``, ``tdx_mem_page_aug``, ``tdx_sept_remove_private_spte``,
``tdx_track``, ``tdx_sept_free_private_spt``; get and put around them as in the v6 series.
"""

from __future__ import annotations

from functools import partial

from tdxfuzz.abi.address import LEVEL_4K
from tdxfuzz.host.kernel.errno import EBUSY, EFAULT, EIO, ENOMEM
from tdxfuzz.host.kvm import seamcalls as leaf
from tdxfuzz.host.kvm.rcu import RcuPaths
from tdxfuzz.host.kvm.vm import Spte, Vcpu, Vm
from tdxfuzz.module.codes import REMOVAL_HINT

TOP_LEVEL = 3
"""Level of the entries in the S-EPT root, which is a TDCS page."""


class MmuPaths(RcuPaths):
    """4KB pages of a guest, and the S-EPT pages above them."""

    def fault(self, vm: Vm, vcpu: Vcpu, slot: int) -> int:
        """``kvm_mmu_do_page_fault`` on a private page: 0, -EBUSY to try again, or an error; -EFAULT
        if the slot is shared (KVM_EXIT_MEMORY_FAULT).
        """
        result = self.topup(vcpu)
        if result:
            return result
        gpa = self.host.layout.gpa(slot)
        with vm.mmu_lock.read():
            if self.is_dead(vm):
                return -EIO
            if slot in vm.shared_slots:
                return -EFAULT
            for level in range(TOP_LEVEL, LEVEL_4K, -1):
                result = self.link_sept_page(vm, vcpu, gpa, level)
                if result:
                    return result
            return self.map_page(vm, vcpu, gpa, self.host.layout.guest_pfn(vm.id, slot))

    def topup(self, vcpu: Vcpu) -> int:
        """``mmu_topup_memory_caches``, before the MMU lock: 0 or -errno.

        A vCPU that runs was initialised, whether or not its control pages are part of the case.
        """
        vcpu.pamt_cache.has_head = True
        return (
            vcpu.sept_cache.topup(TOP_LEVEL)
            or vcpu.pamt_cache.topup(self.host.layer.pamt_cache_pages * self.host.pair_pages // 2)
            or self.host.layer.topup()
        )

    def link_sept_page(self, vm: Vm, vcpu: Vcpu, gpa: int, level: int) -> int:
        """``tdp_mmu_link_sp`` with ``tdx_sept_link_private_spt``, if nothing is linked yet."""
        spte = vm.spte(self.host.sim, level, gpa)
        value = spte.read()
        if value == Spte.PRESENT:
            return 0
        if value == Spte.FROZEN:
            return -EBUSY
        pfn = vcpu.sept_cache.pop()
        if pfn is None:
            # Only where a KVM of the user's has topped up too little: cache-underflow.
            return -ENOMEM
        if not spte.try_freeze():
            vcpu.sept_cache.pages.append(pfn)
            return -EBUSY
        result = self.link_private_spt(vm, vcpu, gpa, level, pfn)
        if result:
            spte.write(Spte.NOT_PRESENT)
            vcpu.sept_cache.pages.append(pfn)
        else:
            spte.write(Spte.PRESENT, pfn)
        return result

    def link_private_spt(self, vm: Vm, vcpu: Vcpu, gpa: int, level: int, pfn: int) -> int:
        """``tdx_sept_link_private_spt``."""
        host = self.host
        result = host.get(pfn, "S-EPT page", vcpu.pamt_cache)
        if result:
            return result
        host.watch.page_used(pfn, "S-EPT page")
        make = partial(self.sept_add, vm, gpa, level, pfn)
        status = self.call_using(pfn, "S-EPT page", vcpu.pamt_cache, make)
        if status.ok:
            return 0
        host.put(pfn, "S-EPT page")
        if status.busy:
            return -EBUSY
        self.bug_on(leaf.SEPT_ADD, status)
        return -EIO

    def map_page(self, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
        """``tdp_mmu_map_handle_target_level`` with ``tdx_sept_set_private_spte``."""
        spte = vm.spte(self.host.sim, LEVEL_4K, gpa)
        value = spte.read()
        if value == Spte.PRESENT:
            return 0
        if value == Spte.FROZEN or not spte.try_freeze():
            return -EBUSY
        result = self.mem_page_aug(vm, vcpu, gpa, pfn)
        if result:
            spte.write(Spte.NOT_PRESENT)
        else:
            spte.write(Spte.PRESENT, pfn)
        return result

    def mem_page_aug(self, vm: Vm, vcpu: Vcpu, gpa: int, pfn: int) -> int:
        """``tdx_mem_page_aug``: BUSY makes the guest fault again, all else is a bug."""
        host = self.host
        result = host.get(pfn, "guest page", vcpu.pamt_cache)
        if result:
            return result
        make = partial(self.page_aug, vm, gpa, LEVEL_4K, pfn)
        status = self.call_using(pfn, "guest page", vcpu.pamt_cache, make)
        if status.ok:
            return 0
        host.put(pfn, "guest page")
        if status.busy:
            return -EBUSY
        self.bug_on(leaf.PAGE_AUG, status)
        return -EIO

    def zap(self, vm: Vm, slot: int) -> int:
        """Zap one guest page, e.g. for a conversion to shared."""
        gpa = self.host.layout.gpa(slot)
        with vm.mmu_lock.write():
            spte = vm.spte(self.host.sim, LEVEL_4K, gpa)
            if spte.value == Spte.PRESENT:
                self.remove_page(vm, gpa, spte)
        return 0

    def remove_page(self, vm: Vm, gpa: int, spte: Spte) -> None:
        """``tdx_sept_remove_private_spte``. The caller holds the MMU lock for writing.

        Must not fail: where it does all the same, the page and its reference are leaked. In a TD
        that was terminated the page is reclaimed at once (20250729193341.621487-6).
        """
        host, pfn = self.host, spte.pfn
        spte.write(Spte.NOT_PRESENT)
        if not vm.hkid:
            reclaimed, hint = self.reclaim_page(pfn)
            if reclaimed:
                host.pages.scrub(pfn)
                host.put(pfn, "guest page", hint)
            return
        if self.block_and_track(vm, gpa, LEVEL_4K):
            return
        status, regs = self.do_no_vcpus(vm, partial(self.page_remove, vm, gpa, LEVEL_4K))
        if self.bug_on(leaf.PAGE_REMOVE, status):
            return
        status, _ = self.do_no_vcpus(vm, partial(self.page_wbinvd, vm, pfn))
        if self.bug_on(leaf.PAGE_WBINVD, status):
            return
        host.pages.scrub(pfn)
        host.put(pfn, "guest page", bool(regs.rcx & REMOVAL_HINT))

    def block_and_track(self, vm: Vm, gpa: int, level: int) -> bool:
        """RANGE.BLOCK, then ``tdx_track``: TRACK, and a kick, so that no vCPU goes on with a
        translation from before; whether it failed.
        """
        status, _ = self.do_no_vcpus(vm, partial(self.range_block, vm, gpa, level))
        if self.bug_on(leaf.RANGE_BLOCK, status):
            return True
        status, _ = self.do_no_vcpus(vm, partial(self.track, vm))
        failed = self.bug_on(leaf.TRACK, status)
        self.kick_vcpus(vm)
        return failed

    def convert(self, vm: Vm, slot: int) -> int:
        """``KVM_SET_MEMORY_ATTRIBUTES`` on one page: private to shared, or back.

        To shared, the private page is zapped; back, the next fault maps it.
        """
        gpa = self.host.layout.gpa(slot)
        with vm.mmu_lock.write():
            if slot in vm.shared_slots:
                vm.shared_slots.discard(slot)
                return 0
            vm.shared_slots.add(slot)
            spte = vm.spte(self.host.sim, LEVEL_4K, gpa)
            if spte.value == Spte.PRESENT:
                self.remove_page(vm, gpa, spte)
        return 0

    def zap_all(self, vm: Vm) -> None:
        """Before the HKID goes: no guest page of 4KB may be left (guest_memfd is released)."""
        with vm.mmu_lock.write():
            for (level, index), spte in sorted(vm.sptes.items()):
                if level == LEVEL_4K and spte.value == Spte.PRESENT:
                    self.remove_page(vm, index << 12, spte)

    def free_sept_pages(self, vm: Vm) -> None:
        """``tdx_sept_free_private_spt`` for the whole table, once the HKID is gone: at once after
        RECLAIM (v6), or from an RCU callback (v5).
        """
        free = self.call_rcu if self.host.layer.frees_sept_from_rcu else self.free_control_page
        with vm.mmu_lock.write():
            for (level, _), spte in sorted(vm.sptes.items()):
                if level == LEVEL_4K or spte.value != Spte.PRESENT:
                    continue
                pfn = spte.pfn
                spte.write(Spte.NOT_PRESENT)
                reclaimed, hint = self.reclaim_page(pfn)
                if reclaimed:
                    self.host.pages.scrub(pfn)
                    free(pfn, "S-EPT page", hint)
