"""Whether a CPU is in a guest, and the IPI that makes it leave.

Source: virt/kvm/kvm_main.c (v6.19): ``kvm_make_all_cpus_request`` with KVM_REQUEST_WAIT, which
returns once each CPU it was sent to has left the guest; ``vcpu->mode``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim import READ, RMW, Declared, WaitLock

if TYPE_CHECKING:
    from collections.abc import Collection

    from tdxfuzz.sim import Cpu, Simulator


class GuestMode(WaitLock):
    """One CPU: outside of guests, or in one with the vCPU whose TDVPR is the page ``tdvpr``.

    ``kicked``: an IPI is on its way, and whoever sent it waits until the CPU is outside.
    """

    __slots__ = ("kicked", "owner", "tdvpr")

    STATE: ClassVar = Declared(shared="kicked owner tdvpr")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.owner: Cpu | None = None
        self.tdvpr = 0
        self.kicked = False

    def holders(self) -> list[Cpu]:
        return [] if self.owner is None else [self.owner]

    def is_held_alone_by(self, cpu: Cpu) -> bool:
        return self.owner is cpu

    def enter(self, tdvpr: int) -> None:
        """``vcpu->mode = IN_GUEST_MODE``. One step."""
        self.sim.step(self, RMW)
        self.owner, self.tdvpr, self.kicked = self.sim.current, tdvpr, False

    def leave(self) -> None:
        """``vcpu->mode = OUTSIDE_GUEST_MODE``; whoever waited for it goes on. One step."""
        sim = self.sim
        if sim.over:
            return
        sim.step(self, RMW)
        self.owner, self.tdvpr, self.kicked = None, 0, False
        while self.queue:
            sim.wake(self.queue.pop(0)[0])

    def must_leave(self) -> bool:
        """Whether an interrupt is pending that ends the guest's turn. One step."""
        self.sim.step(self, READ)
        return self.kicked

    def kick(self, tdvprs: Collection[int]) -> bool:
        """If one of these vCPUs is in the guest here, make it leave and wait until it has; whether
        it was. Two steps at most.
        """
        self.sim.step(self, READ)
        if self.tdvpr not in tdvprs:
            return False
        self.sim.step(self, RMW)
        if self.tdvpr not in tdvprs:
            return False
        self.kicked = True
        self._wait(exclusive=False)
        return True
