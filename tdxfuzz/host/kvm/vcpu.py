"""A vCPU's control pages: built page by page, flushed off its CPU, reclaimed.

Source: arch/x86/kvm/vmx/tdx.c: ``tdx_td_vcpu_init``, ``tdx_flush_vp_on_cpu``,
``tdx_vcpu_free``; pages with dynamic PAMT as in the v6 series (20260526023515.288829-1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi import find
from tdxfuzz.abi.address import hpa_of
from tdxfuzz.host.kernel.errno import EEXIST, EIO, ENOMEM
from tdxfuzz.host.kvm.control import alloc_control_page, free_control_page, reclaim_control_page
from tdxfuzz.host.kvm.tdx_call import bug_on, call, call_using

if TYPE_CHECKING:
    from tdxfuzz.host.kvm.vm import Vcpu, Vm
    from tdxfuzz.host.tdx_core import TdxCore

VP_CREATE = find("TDH.VP.CREATE").number
VP_ADDCX = find("TDH.VP.ADDCX").number
VP_INIT = find("TDH.VP.INIT").number
VP_FLUSH = find("TDH.VP.FLUSH").number

TDCX_PAGES = 5
"""Pages of a TDVPS besides its TDVPR."""

WITH_X2APIC_ID = 1
"""The version of VP.INIT that takes the x2APIC id in R8."""


def vcpu_init(host: TdxCore, vm: Vm, vcpu: Vcpu) -> int:
    """``tdx_td_vcpu_init``: 0 or a negative errno. The caller holds the VM's lock.

    Pages not handed over yet are freed on failure, the others when the TD goes.
    """
    if vcpu.tdvpr_page is not None:
        return -EEXIST
    vcpu.pamt_cache.has_head = True
    tdvpr_page = alloc_control_page(host, "TDVPR")
    if tdvpr_page is None:
        return -ENOMEM
    tdcx_pages: list[int] = []
    for _ in range(TDCX_PAGES):
        page = alloc_control_page(host, "TDCX")
        if page is None:
            return _free_pages(host, tdvpr_page, tdcx_pages)
        tdcx_pages.append(page)

    host.watch.page_used(tdvpr_page, "TDVPR")
    status = call_using(
        host, tdvpr_page, "TDVPR", None, VP_CREATE, rcx=hpa_of(tdvpr_page), rdx=vm.tdr
    )
    if bug_on(host, VP_CREATE, status):
        _free_pages(host, tdvpr_page, tdcx_pages)
        return -EIO
    vcpu.tdvpr_page = tdvpr_page

    for i, page in enumerate(tdcx_pages):
        host.watch.page_used(page, "TDCX")
        status = call_using(
            host, page, "TDCX", None, VP_ADDCX, rcx=hpa_of(page), rdx=hpa_of(tdvpr_page)
        )
        if bug_on(host, VP_ADDCX, status):
            for left in tdcx_pages[i:]:
                free_control_page(host, left, "TDCX")
            return -EIO
        vcpu.tdcx_pages.append(page)

    status, _ = call(host, VP_INIT, WITH_X2APIC_ID, rcx=hpa_of(tdvpr_page), rdx=0, r8=vcpu.id)
    if bug_on(host, VP_INIT, status):
        return -EIO
    vcpu.cpu = host.sim.current.id
    return 0


def _free_pages(host: TdxCore, tdvpr_page: int, tdcx_pages: list[int]) -> int:
    for page in tdcx_pages:
        free_control_page(host, page, "TDCX")
    free_control_page(host, tdvpr_page, "TDVPR")
    return -ENOMEM


def flush_on_cpu(host: TdxCore, vcpu: Vcpu) -> None:
    """``tdx_flush_vp_on_cpu``: VP.FLUSH by IPI on the CPU the vCPU is associated with."""
    if vcpu.cpu is None or vcpu.tdvpr_page is None:
        return
    status, _ = host.seamcall(VP_FLUSH, on_cpu=vcpu.cpu, rcx=hpa_of(vcpu.tdvpr_page))
    bug_on(host, VP_FLUSH, status)
    vcpu.cpu = None


def vcpu_free(host: TdxCore, vcpu: Vcpu) -> None:
    """``tdx_vcpu_free``, once the HKID is gone: reclaim the pages, give back the caches."""
    for page in vcpu.tdcx_pages:
        reclaim_control_page(host, page, "TDCX")
    vcpu.tdcx_pages = []
    if vcpu.tdvpr_page is not None:
        reclaim_control_page(host, vcpu.tdvpr_page, "TDVPR")
    vcpu.tdvpr_page = None
