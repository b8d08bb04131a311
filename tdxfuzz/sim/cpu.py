"""A simulated CPU: a greenlet, its state, and what it will do next."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Protocol

from tdxfuzz.sim.declared import Declared

if TYPE_CHECKING:
    from greenlet import greenlet

    from tdxfuzz.sim.contents import Contents


class Named(Protocol):
    """What a CPU can access in a step: a cell, as far as the simulator is concerned."""

    @property
    def name(self) -> str:
        """A name that is the same in every run of the same case."""


class Blocker(Named, Protocol):
    """What a CPU can wait for: a lock, or the end of its softirq."""

    def blockers(self, cpu: Cpu) -> list[Cpu]:
        """The CPUs that ``cpu`` waits for, at least one."""


class State(Enum):
    """What a CPU can do now."""

    RUNNABLE = "runnable"
    BLOCKED = "blocked"
    DONE = "done"


class Cpu:
    """One simulated CPU.

    ``on`` is the id of the CPU that it is, or that it interrupts; ``irqs_off`` how many
    reasons there are why no interrupt may come. ``next_cell`` and ``next_access`` are the step
    it has announced and not performed; they are kept only while a policy or a trace asks for
    every step. ``at_retry_point``: it has passed one, and the others go first.
    """

    __slots__ = (
        "at_retry_point",
        "greenlet",
        "id",
        "irqs_off",
        "next_access",
        "next_cell",
        "on",
        "state",
        "waiting_for",
    )

    STATE: ClassVar = Declared(
        shared="state waiting_for",
        derived="at_retry_point greenlet irqs_off next_access next_cell",
        fixed="id on",
    )

    def __init__(self, cpu_id: int) -> None:
        self.id = self.on = cpu_id
        self.at_retry_point = False
        self.irqs_off = 0
        self.state = State.RUNNABLE
        self.waiting_for: Blocker | None = None
        self.next_cell: Named | None = None
        self.next_access = 0
        self.greenlet: greenlet | None = None

    @property
    def runnable(self) -> bool:
        """Whether it could perform a step if it were chosen."""
        return self.state is State.RUNNABLE

    def in_key(self, read: Contents) -> object:
        """Its id: where the CPUs stand is told by whoever watches the run."""
        return self.id

    def __repr__(self) -> str:
        return f"CPU {self.id}"
