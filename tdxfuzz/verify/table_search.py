"""The search on tables: runs record legs, then all orders are walked without running code.

The runs go first where little is known, so that each of them makes many legs that are missing. (The
search itself goes depth first: nearly each of its runs would make one.) They make all legs that
orders within the bound on preemptions have, and no others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import define, evolve, field

from tdxfuzz.case.faults import text_of
from tdxfuzz.run.worlds import Rerun
from tdxfuzz.sim import Cell, OutOfTime, Simulator
from tdxfuzz.tables.recorder import Recorder
from tdxfuzz.tables.table import Point, Table
from tdxfuzz.verify.out_of_time import OutOfTimeInRun
from tdxfuzz.verify.progress import StateGraph
from tdxfuzz.verify.walk import FREE, Walk
from tdxfuzz.verify.worklist import RUNS, TABLES, YOUNG, Bounds, SearchCounts, Worklist

PROOF_EVERY = 16
"""Of so many runs one makes a leg once more, to be compared. Tests set it to 1."""

MOST_LEGS = 1_500_000
"""A search of more legs goes on without tables. These take 1.6 GB."""

FIRST_RUNS = 200
"""A pass without tables has as many runs before tables are begun: most bugs show in them, and small
searches end."""

DEEP = 1000
"""Runs that go on where the last one ended, where there may be loops: so a loop shows soon. All
other runs go where little is known. A search whose time is over has a verdict then."""


@define
class TableSearch:
    """The legs of a pass. ``is_complete`` once none is missing, ``is_off`` if there will be none:
    a run found something, or did not end, and the search without tables says what and where.
    ``states`` are those at which there is a choice within the bound. ``worklist`` and ``counts``
    are those of that search; they are left as they are until :meth:`walk`, and put back by
    :meth:`give_up`. ``known`` is what these runs have found out.
    """

    worklist: Worklist
    counts: SearchCounts
    bounds: Bounds
    table: Table = field(factory=Table)
    is_complete: bool = False
    is_off: bool = False
    runs: int = 0
    states: int = 0
    seen: set[str] = field(factory=set)
    met: set[str] = field(factory=set)
    passes: int = 1
    known: Worklist = field(init=False)
    _before: tuple[SearchCounts, StateGraph | None] = field(init=False)
    _began: tuple[int, int] = (0, 0)
    _ahead: deque[tuple[tuple[bytes, int] | None, int]] = field(factory=deque)
    _explored: dict[tuple[bytes, int], int] = field(factory=dict)
    _budget: int = 0

    def __attrs_post_init__(self) -> None:
        other = self.worklist
        accesses = {piece: evolve(done) for piece, done in other.accesses.items()}
        self.known = Worklist(accesses=accesses, contended=set(other.contended), loops=other.loops)
        counts = self.counts
        self._before = evolve(counts, finals=set(counts.finals)), other.graph
        self._begin()

    @property
    def missing(self) -> int:
        """About as many legs are missing."""
        return len(self._ahead)

    def record(self, rerun: Rerun, is_over: Callable[[], bool]) -> bool:
        """Make runs until no leg is missing, or ``is_over``; False if tables are off now.

        Raises:
            HarnessError: the design misused the harness, or raised, or is not deterministic.
        """
        while not self.is_complete and not self.is_off and not is_over():
            missing = self._next_missing()
            if missing is not None:
                self._run(rerun, missing[0])
            if self._must_begin_again():
                if missing is None or self.runs - self._began[1] < YOUNG:
                    self.passes += 1
                    self._begin()
            else:
                self.is_complete = missing is None
            self.is_off = self.is_off or len(self.table.legs) > MOST_LEGS
        return not self.is_off

    def walk(self) -> None:
        """Put the orders of the legs by now into the counts of the search, and their graph."""
        counts, (before, _) = self.counts, self._before
        counts.states = counts.transitions = counts.depth = 0
        counts.finals.clear()
        counts.schedules = before.schedules + self.runs
        counts.passes = before.passes + self.passes
        counts.seen |= self.seen
        counts.met |= self.met
        self.worklist.engine = TABLES
        self.worklist.graph = StateGraph() if self.known.loops else None
        Walk(self.table, self.bounds, counts, self.worklist.graph)
        if self.is_complete:
            self.worklist.todo, self.worklist.tables = [], None

    def give_up(self) -> None:
        """The search without tables goes on, as if there had been none."""
        counts, worklist = self.counts, self.worklist
        before, worklist.graph = self._before
        counts.states, counts.transitions = before.states, before.transitions
        counts.depth, counts.passes = before.depth, before.passes
        counts.finals = before.finals
        counts.schedules = before.schedules + self.runs
        worklist.began = worklist.began[0], worklist.began[1] + self.runs
        worklist.engine = RUNS
        self.table = Table()
        self._explored.clear()
        self._ahead.clear()

    def is_choice(self, sim: Simulator, cell: Cell, access: int, piece: str) -> bool:
        return self.known.is_choice(sim, cell, access, piece, self.bounds.reduce)

    def loops(self) -> None:
        self.known.loops = True

    def next(self, point: Point) -> int | None:
        budget = self._budget
        self._explore(point, budget)
        for cpu in allowed(point, budget):
            if (point.key, cpu) not in self.table.legs:
                self._budget = left(point, cpu, budget)
                return cpu
        return None

    def proof(self, point: Point) -> int | None:
        # A leg of this pass may end earlier once more is known to be contended.
        if self.runs % PROOF_EVERY or self._must_begin_again():
            return None
        budget = self._budget
        for cpu in allowed(point, budget):
            if (point.key, cpu) in self.table.legs:
                self._explore(point, budget)
                self._budget = left(point, cpu, budget)
                return cpu
        return None

    def _run(self, rerun: Rerun, missing: tuple[bytes, int] | None) -> None:
        session = rerun.ready()
        recorder = Recorder(session, self.table, missing, self)
        try:
            ended = session.run_programs()
        except OutOfTime:
            raise OutOfTimeInRun(session.so_far()) from None
        self.runs += 1
        self.seen |= ended.seen
        self.met.update(map(text_of, ended.faults_met))
        self.is_off = not recorder.ended(ended)
        self.known.contended.update(session.layer.shared_without_steps())

    def _next_missing(self) -> tuple[tuple[bytes, int] | None] | None:
        """A leg to be recorded, of which None stands for the first one; or nothing."""
        while self._ahead:
            deep = self.known.loops and self.runs - self._began[1] < DEEP
            missing, self._budget = self._ahead.pop() if deep else self._ahead.popleft()
            leg = None if missing is None else self.table.legs.get(missing)
            if leg is None:
                return (missing,)
            if leg.to is not None:
                self._explore(leg.to, self._budget)
        return None

    def _explore(self, point: Point, budget: int) -> None:
        """Note what is missing from a point on, which was come to with so many preemptions left."""
        ahead = [(point, budget)]
        while ahead:
            point, budget = ahead.pop()
            place = point.key, point.cpu
            before = self._explored.get(place, -1)
            if before >= budget:
                continue
            self.states += (point.free or budget > 0) and (
                before < 0 or (not point.free and not before)
            )
            self._explored[place] = budget
            for cpu in allowed(point, budget):
                leg = self.table.legs.get((point.key, cpu))
                if leg is None:
                    self._ahead.append(((point.key, cpu), left(point, cpu, budget)))
                elif leg.to is not None:
                    ahead.append((leg.to, left(point, cpu, budget)))

    def _must_begin_again(self) -> bool:
        return len(self.known.contended) > self._began[0]

    def _begin(self) -> None:
        self.table = Table()
        self._explored = {}
        self.states = 0
        most = FREE if self.bounds.preemptions is None else self.bounds.preemptions
        self._ahead = deque([(None, most)])
        self._began = len(self.known.contended), self.runs


def allowed(point: Point, budget: int) -> tuple[int, ...]:
    """Who may go on at a point."""
    return point.candidates if point.free or budget else (point.cpu,)


def left(point: Point, cpu: int, budget: int) -> int:
    """The preemptions that are left when a CPU goes on there."""
    return budget if point.free or cpu == point.cpu or budget == FREE else budget - 1
