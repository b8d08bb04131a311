"""KVM's ways to make a SEAMCALL that needs a lock somebody else may hold.

Source: arch/x86/kvm/vmx/tdx.c (v6.19): ``tdh_do_no_vcpus``, ``TDX_BUG_ON``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tdxfuzz.abi import BY_NUMBER, CODES, Status
from tdxfuzz.host.kvm.seamcalls import Answer, Make, Seamcalls

if TYPE_CHECKING:
    from tdxfuzz.host.kernel.page import PageCache
    from tdxfuzz.host.kvm.vm import Vm

MISSING = CODES["MISSING_PAMT_PAGE_PAIR"]


class TdxCalls(Seamcalls):
    """What KVM does about BUSY, about a pair that is missing, and about all other errors."""

    def call(self, make: Make) -> Answer:
        """A SEAMCALL; BUSY is the caller's problem.

        Where the design wants KVM to, it is repeated until it is not BUSY: the loops that the
        lazy scheme could not do without (20250918232224.2202592-1).
        """
        host = self.host
        status, regs = make()
        while status.busy and "OPERAND_BUSY" in host.layer.repeated_by_kvm():
            host.cpu_relax()
            status, regs = make()
        return status, regs

    def call_using(self, pfn: int, kind: str, cache: PageCache | None, make: Make) -> Status:
        """A SEAMCALL that makes a page a ``kind``; its range's pair was got.

        With a cache, which is the fault path, BUSY is the caller's problem; without, it is as in
        :meth:`call`.
        """
        once = partial(self.call, make) if cache is None else make
        return self.with_pair(pfn, kind, cache, lambda: once()[0])

    def with_pair(
        self, pfn: int, kind: str, cache: PageCache | None, make: Callable[[], Status]
    ) -> Status:
        """What makes a page a ``kind``, once or until it does not miss the pair of its range.

        Under a design that retries, a leaf that misses the pair is repeated after another
        ``get``; the hold on the range then begins with the leaf's success.
        """
        host, layer = self.host, self.host.layer
        status = make()
        while layer.retries_missing and status >> 32 == MISSING:
            host.cpu_relax()
            if host.get(pfn, kind, cache):
                break
            status = make()
        if layer.retries_missing and status.ok:
            host.hold(pfn, kind)
        return status

    def do_no_vcpus(self, vm: Vm, make: Make) -> Answer:
        """``tdh_do_no_vcpus``: on BUSY kick this VM's vCPUs out, keep them out, and call exactly
        once more.
        """
        was_inside = self.is_vcpu_inside(vm)
        status, regs = self.call(make)
        if status.busy:
            self.host.watch.path_busy(was_inside or self.is_vcpu_inside(vm))
            with self.no_vcpus(vm):
                status, regs = make()
        return status, regs

    def is_vcpu_inside(self, vm: Vm) -> bool:
        """Whether a vCPU of this VM is in the guest. No step: for what is told to the watch."""
        tdvprs = _tdvprs(vm)
        return bool(tdvprs) and any(mode.tdvpr in tdvprs for mode in self.host.guests)

    @contextmanager
    def no_vcpus(self, vm: Vm) -> Iterator[None]:
        """No vCPU is in the guest: ``wait_for_sept_zap`` keeps those out that come."""
        has_vcpus = vm.has_vcpus
        if has_vcpus:
            vm.wait_for_sept_zap.write(True)
        self.kick_vcpus(vm)
        yield
        if has_vcpus:
            vm.wait_for_sept_zap.write(False)

    def kick_vcpus(self, vm: Vm) -> None:
        """``kvm_make_all_cpus_request(KVM_REQ_OUTSIDE_GUEST_MODE)``: send an IPI to each CPU that
        runs a vCPU of this VM, and wait until it has left the guest.
        """
        host = self.host
        tdvprs = _tdvprs(vm)
        for mode in host.guests if tdvprs else ():
            if mode is not host.guests[host.sim.current.on] and mode.kick(tdvprs):
                host.watch.kicked()

    def bug_on(self, leaf: int, status: Status) -> bool:
        """``TDX_BUG_ON`` / ``KVM_BUG_ON``: report a status that the path cannot handle."""
        if status.ok:
            return False
        self.host.warn("KVM", f"KVM_BUG_ON({BY_NUMBER[leaf]} = {status})", leaf, status)
        return True


def _tdvprs(vm: Vm) -> list[int]:
    return [vcpu.tdvpr for vcpu in vm.vcpus if vcpu.tdvpr_page is not None]
