"""Windows: the places where one more preemption makes a difference, each tried once.

CPU 0 is preempted, CPU 1 runs, CPU 0 goes on. Take CPU 0's next step that conflicts with what
CPU 1 did. All preemptions of CPU 0 before that step have the same effect, so one of them is
enough. These places are a *window*. The next window begins behind that step. A run with a
preemption in it shows where it ends, because CPU 1 may do something else then. So the runs
differ in more than the order of steps that commute, and no order is missing. (The begin and the
end of a call are part of the order, but no call can see them, so they are not steps here.)

Flanagan and Godefroid, "Dynamic partial-order reduction for model checking software" (POPL
2005). Their races of a run are searched here in one direction only: behind the preemption.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tdxfuzz.host.cells import CallEdges
from tdxfuzz.module.pamt_entry import PamtEntry
from tdxfuzz.run.effects import CHANGES, READS, effect
from tdxfuzz.run.footprint import range_of
from tdxfuzz.run.result import Run
from tdxfuzz.run.worlds import Rerun
from tdxfuzz.sim import Cpu, FollowSchedule, Schedule, Simulator, Why


def each_window(
    rerun: Rerun, base: Run, before: Schedule, target: int, first: int, last: int | None = None
) -> Iterator[Run]:
    """Runs with one switch more than ``before``, to the CPU ``target``: one for each window
    that opens at step ``first`` or later, and not later than ``last``.

    Args:
        rerun: of the case.
        base: its run under ``before``.
        before: switches, all of them before step ``first``.
        target: may be a softirq.
        first: a step.
        last: a step; the end of the run by default.

    Raises:
        HarnessError: as for :func:`tdxfuzz.run.session.run`.
    """
    turns = [*base.outcome.switches, (base.outcome.steps, -1)]
    begins = [step for (step, cpu), (end, _) in pairwise(turns) if cpu == target and end > step]
    end = max(begins, default=0) if last is None else min(max(begins, default=0), last + 1)
    opening: int | None = first
    while opening is not None and opening < end:
        window = _Window(before, target, opening)
        found = rerun.run(policy=window)
        place = window.place
        if place is None or place >= end:
            return
        yield found
        opening = window.closed or next((step for step, _ in turns if step > place), None)


class _Window:
    """A policy that follows a schedule, then switches to ``target`` as soon as that can be from
    step ``opening`` on: ``place``. ``closed`` is where the next window opens.
    """

    def __init__(self, before: Schedule, target: int, opening: int) -> None:
        self.place: int | None = None
        self.closed: int | None = None
        self._follow = FollowSchedule(before)
        self.due = min(self._follow.due, opening)
        self._target = target
        self._opening = opening
        self._preempted = -1
        self._steps = 0
        self._cells: dict[int, object] = {}
        self._done: dict[tuple[str, int], int] = {}

    def preempt(self, sim: Simulator) -> Cpu | None:
        if self.place is not None:
            if self.closed is None:
                self._note(sim)
            return None
        if sim.clock < self._opening:
            switched = self._follow.preempt(sim)
            self.due = min(self._follow.due, self._opening)
            return switched
        self.due = -1
        target = sim.cpus[self._target]
        if target is sim.current or not target.runnable:
            return None
        self.place, self._preempted = sim.clock, sim.current.id
        return target

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        chosen = self._follow.choose(sim, why)
        if self.place is not None or sim.clock < self._opening or chosen is None:
            return chosen
        target = sim.cpus[self._target]
        if target is chosen or not target.runnable:
            return chosen
        self.due = -1
        self.place, self._preempted = sim.clock, chosen.id
        return target

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """Nothing: a woken CPU waits for its turn."""

    def _note(self, sim: Simulator) -> None:
        """A step behind the preemption: of who was preempted, or one it may not commute with."""
        cpu = sim.current
        cell = cpu.next_cell
        assert cell is not None
        own = cpu.id == self._preempted
        if not isinstance(cell, CallEdges):
            self._cells[id(cell)] = cell  # or its id might be given to another
            what = effect(cpu.next_access)
            clashes = self._meets(("cell", id(cell)), what, own)
            if isinstance(cell, PamtEntry):
                touched = range_of(cell, what == READS)
                if touched is not None:
                    index, scans = touched
                    clashes |= self._meets(("range", index), CHANGES if scans else READS, own)
            if clashes:
                assert self.place is not None
                self.closed = self.place + self._steps + 1
                self.due = self._follow.due
                return
        self._steps += own

    def _meets(self, piece: tuple[str, int], what: int, own: bool) -> bool:
        """Whether a step of who was preempted does not commute with what was done to a piece of
        state; of another's step, that it was done.
        """
        done = self._done.get(piece, 0)
        if own:
            return bool(done & ~(0 if what == CHANGES else what))
        self._done[piece] = done | what
        return False
