"""A vCPU's control pages: built page by page, flushed off its CPU, reclaimed.

Source: arch/x86/kvm/vmx/tdx.c: ``tdx_td_vcpu_init``, ``tdx_flush_vp_on_cpu``,
``tdx_vcpu_free``; pages with dynamic PAMT as in the v6 series (20260526023515.288829-1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from tdxfuzz.host.kernel.errno import EEXIST, EINVAL, EIO, ENOMEM
from tdxfuzz.host.kvm import seamcalls as leaf
from tdxfuzz.host.kvm.control import ControlPaths
from tdxfuzz.host.kvm.vm import Vcpu, Vm

TDCX_PAGES = 5
"""Pages of a TDVPS besides its TDVPR."""


class VcpuPaths(ControlPaths):
    """A vCPU comes and goes."""

    def vcpu_init(self, vm: Vm, vcpu: Vcpu) -> int:
        """``tdx_td_vcpu_init``: 0 or a negative errno. The caller holds the VM's lock.

        Pages not handed over yet are freed on failure, the others when the TD goes.
        """
        host = self.host
        if self.is_dead(vm):
            return -EIO
        if vm.finalized:
            return -EINVAL
        if vcpu.tdvpr_page is not None:
            return -EEXIST
        vcpu.pamt_cache.has_head = True
        tdvpr_page = self.alloc_control_page("TDVPR")
        if tdvpr_page is None:
            return -ENOMEM
        tdcx_pages: list[int] = []
        for _ in range(TDCX_PAGES):
            page = self.alloc_control_page("TDCX")
            if page is None:
                return self._free_vcpu_pages(tdvpr_page, tdcx_pages)
            tdcx_pages.append(page)

        host.watch.page_used(tdvpr_page, "TDVPR")
        make = partial(self.vp_create, vm, tdvpr_page)
        status = self.call_using(tdvpr_page, "TDVPR", None, make)
        if self.bug_on(leaf.VP_CREATE, status):
            self._free_vcpu_pages(tdvpr_page, tdcx_pages)
            return -EIO
        vcpu.tdvpr_page = tdvpr_page

        for i, page in enumerate(tdcx_pages):
            host.watch.page_used(page, "TDCX")
            status = self.call_using(page, "TDCX", None, partial(self.vp_addcx, vcpu, page))
            if self.bug_on(leaf.VP_ADDCX, status):
                for left in tdcx_pages[i:]:
                    self.free_control_page(left, "TDCX")
                return -EIO
            vcpu.tdcx_pages.append(page)

        status, _ = self.call(partial(self.vp_init, vcpu))
        if self.bug_on(leaf.VP_INIT, status):
            return -EIO
        vcpu.cpu = host.sim.current.id
        return 0

    def _free_vcpu_pages(self, tdvpr_page: int, tdcx_pages: list[int]) -> int:
        for page in tdcx_pages:
            self.free_control_page(page, "TDCX")
        self.free_control_page(tdvpr_page, "TDVPR")
        return -ENOMEM

    @contextmanager
    def state_locks(self, vm: Vm) -> Iterator[None]:
        """``tdx_acquire_vm_state_locks`` (v6.19, 20251030200951.3402865): nothing else goes on in
        the TD meanwhile.
        """
        with ExitStack() as locks:
            locks.enter_context(vm.kvm_lock)
            for vcpu in vm.vcpus:
                locks.enter_context(vcpu.mutex)
            locks.enter_context(vm.slots_lock)
            yield

    def td_finalize(self, vm: Vm) -> int:
        """``tdx_td_finalize``: 0 or a negative errno. The caller holds all locks."""
        if self.is_dead(vm):
            return -EIO
        if vm.finalized or not vm.has_vcpus:
            return -EINVAL
        status, _ = self.call(partial(self.mr_finalize, vm))
        if self.bug_on(leaf.MR_FINALIZE, status):
            return -EIO
        vm.finalized = True
        return 0

    def vcpu_load(self, vcpu: Vcpu, cpu: int) -> None:
        """``tdx_vcpu_load``: the vCPU's thread is on ``cpu`` now."""
        if vcpu.cpu != cpu:
            self.flush_vp_on_cpu(vcpu)

    def flush_vp_on_cpu(self, vcpu: Vcpu) -> None:
        """``tdx_flush_vp_on_cpu``: VP.FLUSH by IPI on the CPU the vCPU is associated with."""
        if vcpu.cpu is None or vcpu.tdvpr_page is None:
            return
        status, _ = self.vp_flush(vcpu)
        self.bug_on(leaf.VP_FLUSH, status)
        vcpu.cpu = None

    def vcpu_free(self, vcpu: Vcpu) -> None:
        """``tdx_vcpu_free``, once the HKID is gone: reclaim the pages, give back the caches."""
        for page in vcpu.tdcx_pages:
            self.reclaim_control_page(page, "TDCX")
        vcpu.tdcx_pages = []
        if vcpu.tdvpr_page is not None:
            self.reclaim_control_page(vcpu.tdvpr_page, "TDVPR")
        vcpu.tdvpr_page = None
