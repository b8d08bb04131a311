"""Runs that come back to where they were: a schedule's ``loop``, confirmed.

A schedule may say that its last steps lead back to the state before them. Such a run could repeat
these steps for ever. Each run looks whether that is so: it makes the steps once more, and compares
the states after the first and after the second time. Before the first time a CPU may still know
what it did on the way to the loop, and what it does not use any more.
"""

from __future__ import annotations

from tdxfuzz.run.observer import Observer
from tdxfuzz.sim import Cell, Cpu, FollowSchedule, Livelock, Schedule, Simulator, Switch, Why


def once_more(schedule: Schedule) -> Schedule:
    """The schedule of a loop, with the loop's steps appended once more."""
    if schedule.loop is None:
        return schedule
    first, last = schedule.loop
    # A file may say anything of what comes behind the loop.
    once = [switch for switch in schedule if switch.step <= last]
    again = [
        Switch(switch.step + last - first, switch.cpu) for switch in once if switch.step > first
    ]
    return Schedule((*once, *again))


class Repeats:
    """A policy that follows a schedule, and ends the run where it is back in the same state.

    Args:
        observer: of the coming run.
        follow: makes the switches of :func:`once_more`.
        loop: the steps before which the loop begins and ends.
    """

    due = -1

    def __init__(self, observer: Observer, follow: FollowSchedule, loop: tuple[int, int]) -> None:
        self._observer = observer
        self._follow = follow
        self._loop = loop
        first, self._middle = loop
        self._last = self._middle + self._middle - first
        self._before: bytes | None = None
        self._records = 0
        self._stepped: set[Cpu] = set()

    def preempt(self, sim: Simulator) -> Cpu | None:
        cpu, cell = sim.current, sim.current.next_cell
        assert isinstance(cell, Cell)
        self._observer.goes_on(cpu)
        target = self._follow.preempt(sim)
        if target is not None and target is not cpu:
            return target
        if sim.clock == self._middle and self._before is None:
            self._before = self._observer.key()
            self._records = 0 if sim.trace is None else len(sim.trace)
        elif sim.clock == self._last and self._observer.key() == self._before:
            if sim.trace is not None:
                # The trace shows the loop once.
                sim.trace.cut(self._records)
            cpus = sorted(self._stepped, key=lambda each: each.id)
            sim.stop(Livelock(cpus, self._loop))
        if self._before is not None:
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
