"""A TD's control pages: creation, release of its HKID, teardown.

Source: arch/x86/kvm/vmx/tdx.c: ``__tdx_td_init``, ``tdx_mmu_release_hkid``,
``tdx_reclaim_td_control_pages``; control pages with dynamic PAMT as in the v6 series
(20260526023515.288829-1): ``tdx_alloc_control_page``, ``tdx_free_control_page``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi import find
from tdxfuzz.abi.address import hpa_of
from tdxfuzz.host.kernel.errno import EIO, ENOMEM, ENOSPC
from tdxfuzz.host.kernel.page import GFP_KERNEL
from tdxfuzz.host.kvm.tdx_call import bug_on, call, call_using
from tdxfuzz.host.kvm.vm import TDCS_PAGES, Vm, VmState
from tdxfuzz.host.layout import PARAMS_HPA
from tdxfuzz.module.codes import REMOVAL_HINT

if TYPE_CHECKING:
    from tdxfuzz.host.tdx_core import TdxCore

MNG_CREATE = find("TDH.MNG.CREATE").number
MNG_KEY_CONFIG = find("TDH.MNG.KEY.CONFIG").number
MNG_ADDCX = find("TDH.MNG.ADDCX").number
MNG_INIT = find("TDH.MNG.INIT").number
MNG_VPFLUSHDONE = find("TDH.MNG.VPFLUSHDONE").number
MNG_KEY_FREEID = find("TDH.MNG.KEY.FREEID").number
PAGE_RECLAIM = find("TDH.PHYMEM.PAGE.RECLAIM").number
CACHE_WB = find("TDH.PHYMEM.CACHE.WB").number
PAGE_WBINVD = find("TDH.PHYMEM.PAGE.WBINVD").number


def alloc_control_page(host: TdxCore, kind: str) -> int | None:
    """``tdx_alloc_control_page``: a page with PAMT behind it; None if it cannot be had."""
    pfn = host.pages.alloc_page(GFP_KERNEL, kind)
    if pfn is None:
        return None
    if host.get(pfn, kind):
        host.pages.free_page(pfn)
        return None
    return pfn


def free_control_page(host: TdxCore, pfn: int, kind: str, hint: bool = False) -> None:
    """``tdx_free_control_page``."""
    host.put(pfn, kind, hint)
    host.pages.free_page(pfn)


def td_init(host: TdxCore, vm: Vm) -> int:
    """``__tdx_td_init``: 0 or a negative errno; on failure everything is undone."""
    hkid = host.guest_keyids.alloc()
    if hkid is None:
        return -ENOSPC
    vm.hkid = hkid
    tdr_page = alloc_control_page(host, "TDR")
    if tdr_page is None:
        return _free_pages(host, vm, None, [])
    tdcs_pages: list[int | None] = []
    for _ in range(TDCS_PAGES):
        page = alloc_control_page(host, "TDCX")
        if page is None:
            return _free_pages(host, vm, tdr_page, tdcs_pages)
        tdcs_pages.append(page)

    with host.tdx_lock:
        host.watch.page_used(tdr_page, "TDR")
        status = call_using(
            host, tdr_page, "TDR", None, MNG_CREATE, rcx=hpa_of(tdr_page), rdx=vm.hkid
        )
    if bug_on(host, MNG_CREATE, status):
        return _free_pages(host, vm, tdr_page, tdcs_pages)
    vm.tdr_page = tdr_page
    vm.tdcs_pages = tdcs_pages

    status, _ = call(host, MNG_KEY_CONFIG, rcx=vm.tdr)
    if bug_on(host, MNG_KEY_CONFIG, status):
        return _teardown(host, vm, added=0)
    for i, page in enumerate(tdcs_pages):
        assert page is not None
        host.watch.page_used(page, "TDCX")
        status = call_using(host, page, "TDCX", None, MNG_ADDCX, rcx=hpa_of(page), rdx=vm.tdr)
        if bug_on(host, MNG_ADDCX, status):
            return _teardown(host, vm, added=i)
    status, _ = call(host, MNG_INIT, rcx=vm.tdr, rdx=PARAMS_HPA)
    if bug_on(host, MNG_INIT, status):
        return _teardown(host, vm, added=TDCS_PAGES)
    vm.state.write(VmState.INITIALIZED)
    return 0


def _free_pages(host: TdxCore, vm: Vm, tdr_page: int | None, tdcs_pages: list[int | None]) -> int:
    """Nothing was handed to the module yet: give all pages back."""
    for page in tdcs_pages:
        if page is not None:
            free_control_page(host, page, "TDCX")
    if tdr_page is not None:
        free_control_page(host, tdr_page, "TDR")
    _free_hkid(host, vm)
    return -ENOMEM


def _teardown(host: TdxCore, vm: Vm, added: int) -> int:
    """Free the TDCS pages not handed over yet, then the TD as it is."""
    for i, page in enumerate(vm.tdcs_pages):
        if i >= added and page is not None:
            free_control_page(host, page, "TDCX")
            vm.tdcs_pages[i] = None
    release_hkid(host, vm)
    reclaim_control_pages(host, vm)
    return -EIO


def release_hkid(host: TdxCore, vm: Vm) -> None:
    """``tdx_mmu_release_hkid``: flush, write back, free the HKID. No vCPU is left."""
    with host.tdx_lock:
        status, _ = call(host, MNG_VPFLUSHDONE, rcx=vm.tdr)
        if bug_on(host, MNG_VPFLUSHDONE, status):
            return
        status, _ = call(host, CACHE_WB, rcx=0)
        while status.name == "INTERRUPTED_RESUMABLE":
            status, _ = call(host, CACHE_WB, rcx=1)
        bug_on(host, CACHE_WB, status)
        status, _ = call(host, MNG_KEY_FREEID, rcx=vm.tdr)
        if bug_on(host, MNG_KEY_FREEID, status):
            return
        _free_hkid(host, vm)


def _free_hkid(host: TdxCore, vm: Vm) -> None:
    host.guest_keyids.free(vm.hkid)
    vm.hkid = 0


def reclaim_page(host: TdxCore, pfn: int) -> tuple[bool, bool]:
    """``__tdx_reclaim_page``: whether it worked, and the module's removal hint."""
    status, regs = call(host, PAGE_RECLAIM, rcx=hpa_of(pfn))
    if bug_on(host, PAGE_RECLAIM, status):
        return False, False
    return True, bool(regs.r9 & REMOVAL_HINT)


def reclaim_control_page(host: TdxCore, pfn: int, kind: str) -> None:
    """``tdx_reclaim_control_page``: reclaim, clear, free; a page that cannot be reclaimed
    is leaked with its reference, for the kernel cannot use it safely any more.
    """
    reclaimed, hint = reclaim_page(host, pfn)
    if not reclaimed:
        return
    host.pages.scrub(pfn)
    free_control_page(host, pfn, kind, hint)


def reclaim_control_pages(host: TdxCore, vm: Vm) -> None:
    """``tdx_reclaim_td_control_pages``; nothing if the HKID could not be freed."""
    if vm.hkid:
        return
    for page in vm.tdcs_pages:
        if page is not None:
            reclaim_control_page(host, page, "TDCX")
    vm.tdcs_pages = []
    if vm.tdr_page is None:
        return
    tdr_page = vm.tdr_page
    reclaimed, hint = reclaim_page(host, tdr_page)
    if not reclaimed:
        return
    # The module touched the TDR with its own key last.
    hkid = host.module.platform.global_hkid
    tdr_with_key = host.module.platform.key_bits.assign(hpa_of(tdr_page), hkid)
    status, _ = call(host, PAGE_WBINVD, rcx=tdr_with_key)
    if bug_on(host, PAGE_WBINVD, status):
        return
    host.pages.scrub(tdr_page)
    free_control_page(host, tdr_page, "TDR", hint)
    vm.tdr_page = None
