"""Which preemptions of a run can matter: those before a step that another CPU can spoil.

Let CPU a be about to access a cell. Going on with CPU b instead makes a difference only
if b accesses some such cell as well, later in this run, and one of the two writes;
otherwise the order is equivalent to one that preempts a later. (Where calls begin and end is
part of the order, but nothing that a call could see.)
"""

from __future__ import annotations

from collections import OrderedDict

from tdxfuzz.case.case import Case
from tdxfuzz.host.cells import CallEdges
from tdxfuzz.module.pamt_entry import Pamt2M, PamtEntry
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design
from tdxfuzz.run.worlds import Rerun, Worlds
from tdxfuzz.sim import EMPTY, READ, Cpu, FollowSchedule, Schedule, Simulator, Why

Access = tuple[int, int, bool]
"""(step, CPU, whether it changes something)."""

Places = tuple[tuple[int, int], ...]
"""(step, CPU to go on with) pairs."""


class Footprint:
    """A policy that follows a schedule, and notes who touches what."""

    due = -1

    def __init__(self, schedule: Schedule = EMPTY) -> None:
        self._follow = FollowSchedule(schedule)
        self._touched: dict[int, tuple[object, list[Access]]] = {}
        self._entries: dict[int, list[Access]] = {}

    def preempt(self, sim: Simulator) -> Cpu | None:
        if sim.clock >= self._follow.due:
            target = self._follow.preempt(sim)
            if target is not None:
                return target
        cpu = sim.current
        cell = cpu.next_cell
        if cell is not None and not isinstance(cell, CallEdges):
            seen = self._touched.get(id(cell))
            if seen is None:
                seen = self._touched[id(cell)] = cell, []
            writes = cpu.next_access & 3 != READ
            seen[1].append((sim.clock, cpu.id, writes))
            if isinstance(cell, PamtEntry):
                touched = range_of(cell, not writes)
                if touched is not None:
                    index, scans = touched
                    self._entries.setdefault(index, []).append((sim.clock, cpu.id, scans))
        return None

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


def range_of(cell: PamtEntry, reads: bool) -> tuple[int, bool] | None:
    """The 2MB range of an access to one of its PAMT entries, and whether it scans them all.

    PAMT.REMOVE looks at all 4KB entries of a range in one step, announced at the 2MB entry,
    and takes them away: that does not commute with an access to any of them.
    """
    scans = isinstance(cell, Pamt2M)
    return (cell.hpa >> 21, scans) if reads or not scans else None


def _conflicts(accesses: list[Access]) -> Places:
    found: list[tuple[int, int]] = []
    later: dict[int, bool] = {}
    for step, cpu, writes in reversed(accesses):
        found += [
            (step, other)
            for other, other_writes in later.items()
            if other != cpu and (writes or other_writes)
        ]
        later[cpu] = writes or later.get(cpu, False)
    return tuple(sorted(found))


def conflicts_of(rerun: Rerun, schedule: Schedule = EMPTY) -> tuple[Places, ...]:
    """For each cell that has any, the preemptions that can matter in a case's run.

    Raises:
        HarnessError: as for :func:`tdxfuzz.run.session.run`.
    """
    footprint = Footprint(schedule)
    rerun.run(policy=footprint)
    return footprint.conflicts()


class Conflicts:
    """The preemptions that can matter in cases' runs in the default order: looked for when
    they are first asked for, and kept for the programs asked for last.

    Args:
        worlds: where cases that begin alike are run.
        most: how many programs they are kept for.
    """

    def __init__(self, worlds: Worlds | None = None, most: int = 512) -> None:
        self._worlds = worlds
        self._most = most
        self._kept: OrderedDict[Case, tuple[Places, ...]] = OrderedDict()

    def of(self, case: Case) -> tuple[Places, ...]:
        """For each cell that has any, the preemptions that can matter; whatever the schedule.

        Raises:
            HarnessError: as for :func:`tdxfuzz.run.session.run`.
        """
        programs = case.with_schedule(EMPTY)
        found = self._kept.get(programs)
        if found is not None:
            self._kept.move_to_end(programs)
            return found
        found = self._kept[programs] = self.under(case, EMPTY)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return found

    def under(self, case: Case, schedule: Schedule) -> tuple[Places, ...]:
        """The same in the order of a schedule, which is not kept."""
        return conflicts_of(Rerun(case, worlds=self._worlds), schedule)


class BaseRun:
    """Programs to be tried in many orders, with their run in the default order; that happens
    when it is first asked for.

    Raises:
        HarnessError: then, as for :func:`tdxfuzz.run.session.run`.
    """

    def __init__(self, case: Case, design: Design = None, worlds: Worlds | None = None) -> None:
        self.case = case.with_schedule(EMPTY)
        self.rerun = Rerun(case, design, worlds=worlds)
        self._ran: tuple[Run, Footprint] | None = None
        self._conflicts: tuple[Places, ...] | None = None

    @property
    def run(self) -> Run:
        """The run in the default order."""
        return self._made()[0]

    @property
    def length(self) -> int:
        """Steps of the run in the default order, 1 at least."""
        return max(self.run.outcome.steps, 1)

    @property
    def conflicts(self) -> tuple[Places, ...]:
        """For each cell that has any, the preemptions that can matter."""
        if self._conflicts is None:
            self._conflicts = self._made()[1].conflicts()
        return self._conflicts

    def _made(self) -> tuple[Run, Footprint]:
        """The run, and what it touched; made the first time."""
        if self._ran is None:
            footprint = Footprint()
            self._ran = self.rerun.run(policy=footprint), footprint
        return self._ran
