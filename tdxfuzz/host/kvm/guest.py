"""What a guest does between the entry of its vCPU and the exit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import Registers
from tdxfuzz.abi.address import LEVEL_2M, LEVEL_4K
from tdxfuzz.abi.guest_leaf import GUEST_LEAVES
from tdxfuzz.case.guest_script import Act, Action, script_of
from tdxfuzz.module.td_exit import EXTERNAL_INTERRUPT, TDCALL
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tdxfuzz.host.kvm.vm import Vcpu, Vm
    from tdxfuzz.host.machine import Machine
    from tdxfuzz.module.leaves.td_call import Guest

_NUMBER = {leaf.name: leaf.number for leaf in GUEST_LEAVES}

ACCEPT = _NUMBER["TDG.MEM.PAGE.ACCEPT"]
ATTR_RD = _NUMBER["TDG.MEM.PAGE.ATTR.RD"]
ATTR_WR = _NUMBER["TDG.MEM.PAGE.ATTR.WR"]


class GuestProgram:
    """The guest of whichever vCPU is entered on a CPU: it goes on where its script was left.

    An IPI ends its turn before the next action, and so does the end of the script. An action that
    leaves for the host is done once more after the next entry, but for what asks the host.
    """

    STATE: ClassVar = Declared(fixed="_host _mode _vms")

    def __init__(self, host: Machine, vms: Sequence[Vm], cpu: int) -> None:
        self._host = host
        self._vms = vms
        self._mode = host.guests[cpu]

    def __call__(self, guest: Guest) -> int:
        vcpu = self._vcpu()
        while vcpu is not None and vcpu.at < len(script := script_of(vcpu.script)):
            if self._mode.must_leave():
                break
            action = script[vcpu.at]
            if action.act in (Act.CONVERT, Act.VMCALL, Act.HLT):
                vcpu.at += 1
                if action.slot is not None:
                    vcpu.asks = action.slot
                return TDCALL
            if self._is_done(guest, action):
                vcpu.at += 1
        return EXTERNAL_INTERRUPT

    def _vcpu(self) -> Vcpu | None:
        for vm in self._vms:
            for vcpu in vm.vcpus:
                if vcpu.tdvpr_page is not None and vcpu.tdvpr == self._mode.tdvpr:
                    return vcpu
        return None

    def _is_done(self, guest: Guest, action: Action) -> bool:
        """Perform an action on memory; not done if the module was busy."""
        layout = self._host.layout
        gpa = layout.gpa(action.slot or 0) if action.area is None else layout.area_gpa(action.area)
        if action.act is Act.TOUCH:
            guest.access(gpa, write=True)
            return True
        level = LEVEL_2M if action.act is Act.ACCEPT and action.area is not None else LEVEL_4K
        leaf = {Act.READ: ATTR_RD, Act.WRITE: ATTR_WR}.get(action.act, ACCEPT)
        at = guest.tdvps.rip
        status = guest.tdcall(leaf, Registers(rcx=gpa | level if leaf != ATTR_RD else gpa))
        if status.busy:
            # The guest jumps back: it has got no further.
            guest.tdvps.rip = at
            self._host.cpu_relax()
        return not status.busy
