"""Softirqs: deferred work that runs on top of a CPU, at any step where its interrupts are on.

To whoever chooses who runs next a softirq is one more CPU: choosing it while its CPU could go on
is the interrupt. Until it has ended, its CPU cannot go on, whatever it was doing.
"""

from __future__ import annotations

from typing import ClassVar

from tdxfuzz.sim.cpu import Cpu, State
from tdxfuzz.sim.declared import Declared


class Interrupt:
    """What an interrupted CPU waits for: the end of its softirq."""

    __slots__ = ("name", "softirq")

    STATE: ClassVar = Declared(fixed="name softirq")

    def __init__(self, softirq: Softirq) -> None:
        self.name = f"softirq[{softirq.on}]"
        self.softirq = softirq

    def blockers(self, cpu: Cpu) -> list[Cpu]:
        """The softirq, whichever CPU it interrupted."""
        return [self.softirq]


class Softirq(Cpu):
    """The softirq of a CPU: done until it is raised, ``active`` once it has interrupted.

    Its id is that of its CPU plus the number of CPUs; ``on`` is its CPU's.
    """

    __slots__ = ("active", "base", "interrupt")

    STATE: ClassVar = Declared(shared="active", parts="interrupt", fixed="base")

    def __init__(self, softirq_id: int, base: Cpu) -> None:
        super().__init__(softirq_id)
        self.on = base.id
        self.state = State.DONE
        self.base = base
        self.active = False
        self.interrupt = Interrupt(self)

    @property
    def runnable(self) -> bool:
        """Raised, and where it has not begun yet, its CPU's interrupts are on."""
        return self.state is State.RUNNABLE and (self.active or not self.base.irqs_off)

    def begin(self) -> None:
        """Interrupt the CPU; one that waits for a lock goes on waiting."""
        self.active = True
        if self.base.state is State.RUNNABLE:
            self.base.state = State.BLOCKED
            self.base.waiting_for = self.interrupt

    def end(self) -> None:
        """The CPU goes on where it was."""
        self.active = False
        if self.base.waiting_for is self.interrupt:
            self.base.state = State.RUNNABLE
            self.base.waiting_for = None

    def __repr__(self) -> str:
        return f"the softirq of CPU {self.on}"


def softirqs_of(cpus: list[Cpu]) -> list[Softirq]:
    """One softirq for each CPU, with the ids behind theirs."""
    return [Softirq(len(cpus) + number, cpu) for number, cpu in enumerate(cpus)]
