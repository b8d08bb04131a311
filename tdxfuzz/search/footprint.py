"""Which preemptions of a run can matter: those before a step that another CPU can spoil.

Let CPU a be about to access a cell. Going on with CPU b instead makes a difference only
if b accesses that cell as well, later in this run, and the two accesses do not commute;
otherwise the order is equivalent to one that preempts a later. (Where calls begin and end is
part of the order, but nothing that a call could see.)
"""

from __future__ import annotations

from functools import cached_property

from tdxfuzz.check.rerun import Rerun, Worlds
from tdxfuzz.check.run import Design, Run
from tdxfuzz.host.case import Case
from tdxfuzz.host.cells import CallEdges
from tdxfuzz.module.pamt_entry import Pamt2M, PamtEntry
from tdxfuzz.sim import EMPTY, READ, SHARED, Cell, Cpu, FollowSchedule, Schedule, Simulator, Why

_READS, _SHARES, _WRITES = 1, 2, 4
"""What an access does: it looks, it is one of many sharers of a lock, or anything else. Two that
look commute, and two that share; all other pairs do not."""

Access = tuple[int, int, int]
"""(step, CPU, what it does)."""

Places = tuple[tuple[int, int], ...]
"""(step, CPU to go on with) pairs."""


class Footprint:
    """A policy that follows a schedule, and notes who touches what."""

    due = -1

    def __init__(self, schedule: Schedule = EMPTY) -> None:
        self._follow = FollowSchedule(schedule)
        self._touched: dict[int, tuple[Cell, list[Access]]] = {}
        self._entries: dict[int, list[Access]] = {}

    def preempt(self, sim: Simulator) -> Cpu | None:
        if sim.clock >= self._follow.due:
            target = self._follow.preempt(sim)
            if target is not None:
                return target
        cpu = sim.current
        cell = cpu.next_cell
        if cell is not None and not isinstance(cell, CallEdges):
            access = cpu.next_access
            reads = access & 3 == READ
            what = _READS if reads else _SHARES if access & SHARED else _WRITES
            _, accesses = self._touched.setdefault(id(cell), (cell, []))
            accesses.append((sim.clock, cpu.id, what))
            if isinstance(cell, PamtEntry):
                self._touch_range(sim.clock, cpu.id, cell, reads)
        return None

    def _touch_range(self, step: int, cpu: int, entry: PamtEntry, reads: bool) -> None:
        """PAMT.REMOVE looks at all 4KB entries of a range in one step, announced at the 2MB
        entry, and takes them away: that does not commute with an access to any of them.
        """
        scans = isinstance(entry, Pamt2M)
        if not scans or reads:
            what = _WRITES if scans else _READS
            self._entries.setdefault(entry.hpa >> 21, []).append((step, cpu, what))

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        return self._follow.choose(sim, why)

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """Nothing: a woken CPU waits for its turn."""

    def conflicts(self) -> tuple[Places, ...]:
        """The preemptions that can matter, for each cell that has any. To be asked once: what
        was noted, and the world it was noted in, is let go of.
        """
        by_cell = [accesses for _, accesses in self._touched.values()]
        places = map(_conflicts, [*by_cell, *self._entries.values()])
        found = tuple(some for some in places if some)
        self._touched.clear()
        self._entries.clear()
        return found


def _conflicts(accesses: list[Access]) -> Places:
    found: list[tuple[int, int]] = []
    later: dict[int, int] = {}
    for step, cpu, what in reversed(accesses):
        commutes = 0 if what == _WRITES else what
        found += [
            (step, other) for other, whats in later.items() if other != cpu and whats & ~commutes
        ]
        later[cpu] = later.get(cpu, 0) | what
    return tuple(sorted(found))


def conflicts_of(rerun: Rerun, schedule: Schedule = EMPTY) -> tuple[Places, ...]:
    """For each cell that has any, the preemptions that can matter in a case's run.

    Raises:
        HarnessError: as for :func:`tdxfuzz.check.run.run`.
    """
    footprint = Footprint(schedule)
    rerun.run(policy=footprint)
    return footprint.conflicts()


class Base:
    """Programs to be tried in many orders, with their run in the default order; that happens
    when it is first asked for.

    Raises:
        HarnessError: then, as for :func:`tdxfuzz.check.run.run`.
    """

    def __init__(self, case: Case, design: Design = None, worlds: Worlds | None = None) -> None:
        self.case = case.with_schedule(EMPTY)
        self.rerun = Rerun(case, design, worlds=worlds)

    @cached_property
    def _ran(self) -> tuple[Run, Footprint]:
        footprint = Footprint()
        return self.rerun.run(policy=footprint), footprint

    @property
    def run(self) -> Run:
        """The run in the default order."""
        return self._ran[0]

    @property
    def length(self) -> int:
        """Steps of the run in the default order, 1 at least."""
        return max(self.run.outcome.steps, 1)

    @cached_property
    def conflicts(self) -> tuple[Places, ...]:
        """For each cell that has any, the preemptions that can matter."""
        return self._ran[1].conflicts()
