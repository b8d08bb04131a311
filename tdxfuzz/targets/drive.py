"""Driving the model in the order of a recording: event by event.

See ``corpus/conformance/README.md``, section 5. *Early*: a CPU that performed an event
runs on to just before its next one. *Late*: it stops right behind the event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tdxfuzz.sim import EVENT, RMW, Cpu, Simulator, Why


class EventOrder:
    """A policy that grants one event at a time.

    Args:
        order: whose turn it is, event by event.
        early: where to stop between two events.
        then: who goes on, to its end, once the order is used up; others follow.
        before: told the place of each event in the order, just before its turn comes.
    """

    due = -1

    def __init__(
        self,
        order: Sequence[int],
        early: bool,
        then: Sequence[int] = (),
        before: Callable[[int], None] = lambda place: None,
    ) -> None:
        self._order = order
        self._before = before
        self._then = tuple(then)
        self._early = early
        self._next = 0
        self._brought_up = -1
        self._granted: Cpu | None = None

    def preempt(self, sim: Simulator) -> Cpu | None:
        cpu, access = sim.current, sim.current.next_access
        if access & (RMW | EVENT) == RMW:
            return None  # the second instruction of an event
        if self._granted is cpu:
            if access & EVENT:
                self._granted = None
            return None
        if self._early and not access & EVENT:
            return None
        target = self._turn(sim)
        if target is cpu and access & EVENT:
            self._granted = None
        return None if target is cpu else target

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        self._granted = None
        return self._turn(sim)

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """Nothing in a module waits."""

    def _turn(self, sim: Simulator) -> Cpu | None:
        """Who goes next: bring-up first, then the order, then whoever is left."""
        if self._early and self._brought_up < len(sim.cpus) - 1:
            self._brought_up += 1
            return sim.cpus[self._brought_up]
        while self._next < len(self._order):
            self._before(self._next)
            cpu = sim.cpus[self._order[self._next]]
            self._next += 1
            if cpu.runnable:
                self._granted = cpu
                return cpu
        rest = [*(sim.cpus[i] for i in self._then), *sim.cpus]
        self._granted = next((cpu for cpu in rest if cpu.runnable), None)
        return self._granted
