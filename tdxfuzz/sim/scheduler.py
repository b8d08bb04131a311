"""Who runs next: the question, and the default answer with a schedule on top."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from tdxfuzz.sim.schedule import Schedule, Switch

if TYPE_CHECKING:
    from tdxfuzz.sim.cpu import Cpu
    from tdxfuzz.sim.simulator import Simulator

NEVER = 1 << 62


class Why(Enum):
    """Why somebody else has to be chosen."""

    START = "start"
    BLOCK = "block"
    YIELD = "yield"
    DONE = "done"


class Policy(Protocol):
    """Decides who runs. All its freedom is here; all else is determined."""

    due: int
    """The next step before which :meth:`preempt` wants to be asked."""

    def preempt(self, sim: Simulator) -> Cpu | None:
        """A runnable CPU to run instead of the current one, or None to go on."""

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        """A runnable CPU, now that the current one stopped; None if there is none."""

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """``cpu`` became runnable again (a lock was handed to it)."""


def default_choice(sim: Simulator, why: Why) -> Cpu | None:
    """The lowest runnable id; after a yield the next in the ring, itself last. When a softirq
    has ended, its CPU goes on.
    """
    cpus = sim.cpus
    interrupted = cpus[sim.current.on]
    if why is Why.DONE and interrupted is not sim.current and interrupted.runnable:
        return interrupted
    if why is Why.YIELD:
        here = sim.current.id
        order = [cpus[(here + i) % len(cpus)] for i in range(1, len(cpus) + 1)]
    else:
        order = cpus
    return next((cpu for cpu in order if cpu.runnable), None)


class FollowSchedule:
    """Stay on the current CPU, except where a sparse schedule says otherwise.

    ``applied`` collects the switches that changed something: the schedule without its
    no-ops. ``preemptions`` counts switches away from a CPU that could have gone on.
    """

    __slots__ = ("_at", "_switches", "applied", "due", "preemptions")

    def __init__(self, schedule: Schedule) -> None:
        self._switches = schedule.switches
        self._at = 0
        self.due = self._switches[0].step if self._switches else NEVER
        self.applied: list[Switch] = []
        self.preemptions = 0

    def preempt(self, sim: Simulator) -> Cpu | None:
        switch = self._pop(sim)
        if switch is None:
            return None
        target = sim.cpus[switch.cpu] if switch.cpu < len(sim.cpus) else sim.current
        if target is sim.current or not target.runnable:
            return None
        self.applied.append(switch)
        self.preemptions += 1
        return target

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        default = default_choice(sim, why)
        switch = self._pop(sim)
        if switch is None or switch.cpu >= len(sim.cpus):
            return default
        target = sim.cpus[switch.cpu]
        if target is default or not target.runnable:
            return default
        self.applied.append(switch)
        return target

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """Nothing: a woken CPU waits for its turn."""

    def _pop(self, sim: Simulator) -> Switch | None:
        """The switch due at exactly this step; passes over those that came too late."""
        found = None
        switches = self._switches
        while self._at < len(switches) and switches[self._at].step <= sim.clock:
            if switches[self._at].step == sim.clock:
                found = switches[self._at]
            self._at += 1
        self.due = switches[self._at].step if self._at < len(switches) else NEVER
        return found
