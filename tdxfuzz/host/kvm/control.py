"""A TD's control pages: creation, release of its HKID, teardown.

Source: arch/x86/kvm/vmx/tdx.c: ``__tdx_td_init``, ``tdx_mmu_release_hkid``,
``tdx_reclaim_td_control_pages``; control pages with dynamic PAMT as in the v6 series
(20260526023515.288829-1): ``tdx_alloc_control_page``, ``tdx_free_control_page``.
"""

from __future__ import annotations

from functools import partial

from tdxfuzz.host.kernel.errno import EIO, ENOMEM, ENOSPC
from tdxfuzz.host.kernel.page import GFP_KERNEL
from tdxfuzz.host.kvm import seamcalls as leaf
from tdxfuzz.host.kvm.tdx_call import TdxCalls
from tdxfuzz.host.kvm.vm import TDCS_PAGES, Vm, VmState
from tdxfuzz.module.codes import REMOVAL_HINT


class ControlPaths(TdxCalls):
    """A TD comes and goes."""

    def alloc_control_page(self, kind: str) -> int | None:
        """``tdx_alloc_control_page``: a page with PAMT behind it; None if it cannot be had."""
        host = self.host
        pfn = host.pages.alloc_page(GFP_KERNEL, kind)
        if pfn is None:
            return None
        if host.get(pfn, kind):
            host.pages.free_page(pfn)
            return None
        return pfn

    def free_control_page(self, pfn: int, kind: str, hint: bool = False) -> None:
        """``tdx_free_control_page``."""
        self.host.put(pfn, kind, hint)
        self.host.pages.free_page(pfn)

    def td_init(self, vm: Vm) -> int:
        """``__tdx_td_init``: 0 or a negative errno; on failure everything is undone."""
        host = self.host
        hkid = host.guest_keyids.alloc()
        if hkid is None:
            return -ENOSPC
        vm.hkid = hkid
        tdr_page = self.alloc_control_page("TDR")
        if tdr_page is None:
            return self._free_td_pages(vm, None, [])
        tdcs_pages: list[int | None] = []
        for _ in range(TDCS_PAGES):
            page = self.alloc_control_page("TDCX")
            if page is None:
                return self._free_td_pages(vm, tdr_page, tdcs_pages)
            tdcs_pages.append(page)

        with host.tdx_lock:
            host.watch.page_used(tdr_page, "TDR")
            make = partial(self.mng_create, vm, tdr_page)
            status = self.call_using(tdr_page, "TDR", None, make)
        if self.bug_on(leaf.MNG_CREATE, status):
            return self._free_td_pages(vm, tdr_page, tdcs_pages)
        vm.tdr_page = tdr_page
        vm.tdcs_pages = tdcs_pages

        status, _ = self.call(partial(self.mng_key_config, vm))
        if self.bug_on(leaf.MNG_KEY_CONFIG, status):
            return self._teardown(vm, added=0)
        for i, page in enumerate(tdcs_pages):
            assert page is not None
            host.watch.page_used(page, "TDCX")
            status = self.call_using(page, "TDCX", None, partial(self.mng_addcx, vm, page))
            if self.bug_on(leaf.MNG_ADDCX, status):
                return self._teardown(vm, added=i)
        status, _ = self.call(partial(self.mng_init, vm))
        if self.bug_on(leaf.MNG_INIT, status):
            return self._teardown(vm, added=TDCS_PAGES)
        vm.state.write(VmState.INITIALIZED)
        return 0

    def _free_td_pages(self, vm: Vm, tdr_page: int | None, tdcs_pages: list[int | None]) -> int:
        """Nothing was handed to the module yet: give all pages back."""
        for page in tdcs_pages:
            if page is not None:
                self.free_control_page(page, "TDCX")
        if tdr_page is not None:
            self.free_control_page(tdr_page, "TDR")
        self._free_hkid(vm)
        return -ENOMEM

    def _teardown(self, vm: Vm, added: int) -> int:
        """Free the TDCS pages not handed over yet, then the TD as it is."""
        for i, page in enumerate(vm.tdcs_pages):
            if i >= added and page is not None:
                self.free_control_page(page, "TDCX")
                vm.tdcs_pages[i] = None
        self.release_hkid(vm)
        self.reclaim_td_control_pages(vm)
        return -EIO

    def is_dead(self, vm: Vm) -> bool:
        """``kvm->vm_dead``: whether the TD was terminated, so that nothing may begin in it."""
        return vm.terminated

    def release_hkid(self, vm: Vm) -> None:
        """``tdx_mmu_release_hkid``: flush, write back, free the HKID. No vCPU is left."""
        with self.host.tdx_lock:
            status, _ = self.call(partial(self.mng_vpflushdone, vm))
            if self.bug_on(leaf.MNG_VPFLUSHDONE, status):
                return
            status, _ = self.call(partial(self.cache_wb, False))
            while status.name == "INTERRUPTED_RESUMABLE":
                status, _ = self.call(partial(self.cache_wb, True))
            self.bug_on(leaf.CACHE_WB, status)
            status, _ = self.call(partial(self.mng_key_freeid, vm))
            if self.bug_on(leaf.MNG_KEY_FREEID, status):
                return
            self._free_hkid(vm)

    def _free_hkid(self, vm: Vm) -> None:
        self.host.guest_keyids.free(vm.hkid)
        vm.hkid = 0

    def reclaim_page(self, pfn: int) -> tuple[bool, bool]:
        """``__tdx_reclaim_page``: whether it worked, and the module's removal hint."""
        status, regs = self.call(partial(self.page_reclaim, pfn))
        if self.bug_on(leaf.PAGE_RECLAIM, status):
            return False, False
        return True, bool(regs.r9 & REMOVAL_HINT)

    def reclaim_control_page(self, pfn: int, kind: str) -> None:
        """``tdx_reclaim_control_page``: reclaim, clear, free; a page that cannot be reclaimed is
        leaked with its reference, for the kernel cannot use it safely any more.
        """
        reclaimed, hint = self.reclaim_page(pfn)
        if not reclaimed:
            return
        self.host.pages.scrub(pfn)
        self.free_control_page(pfn, kind, hint)

    def reclaim_td_control_pages(self, vm: Vm) -> None:
        """``tdx_reclaim_td_control_pages``; nothing if the HKID could not be freed."""
        if vm.hkid:
            return
        for page in vm.tdcs_pages:
            if page is not None:
                self.reclaim_control_page(page, "TDCX")
        vm.tdcs_pages = []
        if vm.tdr_page is None:
            return
        tdr_page = vm.tdr_page
        reclaimed, hint = self.reclaim_page(tdr_page)
        if not reclaimed:
            return
        status, _ = self.call(partial(self.page_wbinvd_tdr, tdr_page))
        if self.bug_on(leaf.PAGE_WBINVD, status):
            return
        self.host.pages.scrub(tdr_page)
        self.free_control_page(tdr_page, "TDR", hint)
        vm.tdr_page = None
