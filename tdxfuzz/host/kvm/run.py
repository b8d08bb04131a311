"""A vCPU runs: entered until its guest has done what it wanted, with all that it leaves for.

Source: arch/x86/kvm/vmx/tdx.c (v6.19): ``tdx_vcpu_load``, ``tdx_vcpu_pre_run``, ``tdx_vcpu_run``
(where ``wait_for_sept_zap`` is looked at), ``tdx_handle_exit``, ``tdx_handle_ept_violation`` with
its local retry loop; arch/x86/kvm/x86.c: ``vcpu_enter_guest``, ``vcpu_run``.
"""

from __future__ import annotations

from collections.abc import Callable

from tdxfuzz.abi import Registers
from tdxfuzz.case.guest_script import script_of
from tdxfuzz.host.kernel.errno import EBUSY, EFAULT, EINVAL, EIO
from tdxfuzz.host.kvm import seamcalls as leaf
from tdxfuzz.host.kvm.huge import HugePaths
from tdxfuzz.host.kvm.seamcalls import Answer
from tdxfuzz.host.kvm.vcpu import VcpuPaths
from tdxfuzz.host.kvm.vm import NOTHING, Vcpu, Vm
from tdxfuzz.module.td_exit import EPT_VIOLATION, EXTERNAL_INTERRUPT, TDCALL, Extended

_REASON = 0xFFFF
_KIND, _WANTED = 15, 7


class RunPaths(HugePaths, VcpuPaths):
    """KVM_RUN and what userspace does around it."""

    def run_script(self, vm: Vm, vcpu: Vcpu, script: int) -> int:
        """Userspace runs a vCPU until its guest has done all of a script: 0 or a negative errno.

        Between two KVM_RUNs it converts the slots that the guest asks for.
        """
        with vcpu.mutex:
            if self.is_dead(vm):
                return -EIO
            if not vm.finalized or vcpu.tdvpr_page is None:
                return -EINVAL
            vcpu.script, vcpu.at = script, 0
            result, slot = self.vcpu_run(vm, vcpu)
        while slot != NOTHING:
            with vm.slots_lock:
                self.convert(vm, slot)
            with vcpu.mutex:
                if self.is_dead(vm):
                    return -EIO
                result, slot = self.vcpu_run(vm, vcpu)
        return result

    def vcpu_run(self, vm: Vm, vcpu: Vcpu) -> tuple[int, int]:
        """``vcpu_run``: until the script is at its end or userspace is needed. 0 or a negative
        errno, and the slot to be converted, if any.
        """
        host, end = self.host, len(script_of(vcpu.script))
        self.vcpu_load(vcpu, host.sim.current.on)
        while vcpu.at < end:
            answer = self.vcpu_enter_guest(vm, vcpu)
            if answer is None:
                host.cpu_relax()
                continue
            status, regs = answer
            if self.bug_on(leaf.VP_ENTER, status):
                return -EIO, NOTHING
            reason = status & _REASON
            if reason not in (EXTERNAL_INTERRUPT, EPT_VIOLATION, TDCALL):
                host.warn("KVM", f"unexpected exit reason {reason}", leaf.VP_ENTER, status)
                return -EIO, NOTHING
            if reason == EPT_VIOLATION:
                result = self.handle_ept_violation(vm, vcpu, regs)
                if result == -EFAULT:
                    return 0, host.layout.slot_of(regs.r8)
                if result:
                    return result, NOTHING
            if vcpu.asks != NOTHING:
                slot, vcpu.asks = vcpu.asks, NOTHING
                return 0, slot
        return 0, NOTHING

    def vcpu_enter_guest(self, vm: Vm, vcpu: Vcpu) -> Answer | None:
        """``vcpu_enter_guest``: one VP.ENTER; None if it is to be tried again, because a path keeps
        vCPUs out, or the module was BUSY with TRACK or suspected zero-stepping.
        """
        host = self.host
        mode = host.guests[host.sim.current.on]
        mode.enter(vcpu.tdvpr)
        answer = None
        if not vm.wait_for_sept_zap.read():
            answer = self.vp_enter(vcpu)
            vcpu.cpu = host.sim.current.on
        mode.leave()
        return None if answer is not None and answer[0].busy else answer

    def handle_ept_violation(self, vm: Vm, vcpu: Vcpu, regs: Registers) -> int:
        """``tdx_handle_ept_violation``: fault until it is not -EBUSY any more. A guest that accepts
        4KB of an area has it split.
        """
        layout, gpa = self.host.layout, regs.r8
        area = layout.area_of(gpa)
        if area is None:
            slot = layout.slot_of(gpa)
            return self.until_not_busy(lambda: self.fault(vm, vcpu, slot))
        wants_small = regs.rdx & _KIND == Extended.ACCEPT and not regs.rdx >> 32 & _WANTED
        if not wants_small:
            return self.until_not_busy(lambda: self.fault_area(vm, vcpu, area))
        return self.until_not_busy(
            lambda: self.accept_small(vm, vcpu, area) or self.fault_area(vm, vcpu, area)
        )

    def until_not_busy(self, attempt: Callable[[], int]) -> int:
        """Make attempts, each like the first, until one ends otherwise than with -EBUSY; its
        result. Of those in vain, and of how the last one went, the CPU knows nothing any more.
        """
        host = self.host
        local, cpu = host.sim.local, host.sim.current.id
        while True:
            if local is not None:
                local.enter(cpu)
            result = attempt()
            if result != -EBUSY:
                break
            if local is not None:
                local.drop(cpu)
            host.cpu_relax()
        if local is not None:
            local.leave(cpu, result)
        return result
