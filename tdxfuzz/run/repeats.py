"""Runs that come back to where they were: a schedule's ``loop``, confirmed.

A schedule may say that its last steps lead back to the state before them. Such a run could repeat
these steps for ever. Whether it is so is looked at in each run, by the keys of the two states.
"""

from __future__ import annotations

from tdxfuzz.run.observer import Observer
from tdxfuzz.sim import Cpu, FollowSchedule, Livelock, Simulator, Why


class Repeats:
    """A policy that follows a schedule, and ends the run where it is back in the same state.

    Args:
        observer: of the coming run.
        follow: makes the switches.
        loop: the steps before which the two states are.
    """

    due = -1

    def __init__(self, observer: Observer, follow: FollowSchedule, loop: tuple[int, int]) -> None:
        self._observer = observer
        self._follow = follow
        self._first, self._last = loop
        self._before: bytes | None = None
        self._stepped: set[Cpu] = set()

    def preempt(self, sim: Simulator) -> Cpu | None:
        cpu, cell = sim.current, sim.current.next_cell
        assert cell is not None
        self._observer.goes_on(cpu)
        target = self._follow.preempt(sim)
        if target is not None and target is not cpu:
            return target
        if sim.clock == self._first and self._before is None:
            self._before = self._observer.key()
            self._stepped.clear()
        elif sim.clock == self._last and self._observer.key() == self._before:
            cpus = sorted(self._stepped, key=lambda each: each.id)
            sim.stop(Livelock(cpus, repeats=True))
        self._stepped.add(cpu)
        self._observer.performs(cpu, cell, cpu.next_access)
        return None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        self._observer.stops(sim.current, why)
        chosen = self._follow.choose(sim, why)
        if chosen is not None:
            self._observer.goes_on(chosen)
        return chosen

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        self._observer.woken(cpu)
