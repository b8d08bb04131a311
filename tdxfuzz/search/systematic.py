"""All orders of a scenario, states remembered: depth first, by replaying prefixes.

Before each step that another CPU can spoil, every CPU that could go on is tried. A state
that was met before is not explored again: its key is all that shared state holds, what each
CPU can still know, and where it stands. Steps that commute with everything the other CPUs
do are taken at once. ``docs/verify.md`` says why that loses nothing.

Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems" (1996), for
persistent sets of one CPU; Holzmann's Spin for remembering states by their hash. Deviations:
which steps commute is found out by exploring, again from the start until nothing new turns
up; states are reached by replay, for worlds are not copied.
"""

from __future__ import annotations

import marshal
import time
from collections.abc import Callable, Mapping
from enum import Enum
from hashlib import blake2b

from attrs import define, evolve, field, frozen

from tdxfuzz.check import CHECKS
from tdxfuzz.check.run import Design, Run, Session, run
from tdxfuzz.host.case import Case
from tdxfuzz.search.contents import Contents
from tdxfuzz.search.observed import learnt, touched
from tdxfuzz.sim import (
    READ,
    SHARED,
    Cell,
    Cpu,
    End,
    LocalMemory,
    Nondeterminism,
    Schedule,
    Simulator,
    StopRun,
    Why,
)

DEFAULT_STATES = 5_000_000
WITNESS = "refcount"
"""The check whose witness must have occurred, or the search has shown nothing."""

UNLIMITED = 1 << 30

Prefix = tuple[int, ...]
"""The CPU chosen at each decision from the start of a run."""


class SeenBefore(StopRun):
    """The run has come to a state that was explored already."""


class Verdict(Enum):
    """What can be said of a scenario under a design."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


@frozen
class Bounds:
    """How far to go: ``preemptions`` None means all orders. ``states`` and ``seconds`` bound
    memory and time; reaching them leaves the verdict unknown. Without ``reduce`` there is a
    choice before every step, whether it commutes or not.
    """

    preemptions: int | None = None
    states: int = DEFAULT_STATES
    seconds: float | None = None
    reduce: bool = True

    def __str__(self) -> str:
        if self.preemptions is None:
            return "all orders"
        return f"up to {self.preemptions} preemption{'s' if self.preemptions != 1 else ''}"


@define
class Explored:
    """What a search did: its counts grow while it goes on.

    ``transitions`` are choices of a CPU at a state, ``schedules`` the runs made,
    ``depth`` the most decisions of one run, ``passes`` how often it began again because
    a step turned out not to commute. ``finals`` are the digests of the states at rest.
    """

    states: int = 0
    transitions: int = 0
    schedules: int = 0
    depth: int = 0
    passes: int = 1
    seconds: float = 0.0
    finals: set[bytes] = field(factory=set)
    seen: set[str] = field(factory=set)


@frozen
class Verified:
    """The end of a search: ``found`` is the first run with a finding; ``why`` says what
    keeps an unknown verdict from being a pass. ``by_check`` has the first run in which
    each check found something.
    """

    verdict: Verdict
    bounds: Bounds
    explored: Explored
    found: Run | None = None
    why: str = ""
    by_check: Mapping[str, Run] = field(factory=dict)


@define
class Frontier:
    """What a search has yet to do and what it remembers; enough to go on later.

    ``todo`` are prefixes to run. ``budgets`` has, for each state's key, the most
    preemptions that were left when it was explored. ``spoilt`` names the pieces of shared
    state before whose accesses there is a choice.
    """

    todo: list[Prefix] = field(factory=lambda: [()])
    budgets: dict[bytes, int] = field(factory=dict)
    spoilt: set[str] = field(factory=set)


class _Accesses:
    """Who has touched which piece of shared state, and whether that commutes."""

    __slots__ = ("cpus", "reads", "shares")

    def __init__(self) -> None:
        self.cpus = 0
        self.reads = True
        self.shares = True

    def add(self, cpu: int, access: int) -> bool:
        """Note an access; whether there are now two that do not commute."""
        self.cpus |= 1 << cpu
        self.reads = self.reads and access & 3 == READ
        self.shares = self.shares and bool(access & SHARED)
        return bool(self.cpus & (self.cpus - 1)) and not self.reads and not self.shares


class Explorer:
    """A policy that follows a prefix, and from there on notes what else could be tried.

    One explorer serves one run; what is common to all runs is in the frontier.
    """

    due = -1

    def __init__(
        self,
        prefix: Prefix,
        frontier: Frontier,
        accesses: dict[str, _Accesses],
        explored: Explored,
        bounds: Bounds,
    ) -> None:
        self._prefix = prefix
        self._frontier = frontier
        self._accesses = accesses
        self._explored = explored
        self._reduce = bounds.reduce
        self._bounded = bounds.preemptions is not None
        self._budget = UNLIMITED if bounds.preemptions is None else bounds.preemptions
        self.path: list[int] = []
        self._granted = -1
        self._yielded: set[int] = set()
        self._waits_for: dict[int, Cell] = {}
        self._pieces: dict[int, tuple[Cell, str]] = {}
        self._numbers: dict[int, int] = {}
        self.sim: Simulator | None = None
        self.contents: Contents | None = None

    def attach(self, session: Session) -> None:
        """Look at this session's world.

        Under a design that relies on the module's hints, the hold on a range ends inside
        a step that announces only a lock: there every step counts.
        """
        self._reduce = self._reduce and not session.layer.uses_hint
        self.sim = session.sim
        self.contents = Contents(session.host)
        session.sim.local = LocalMemory(len(session.sim.cpus))

    def preempt(self, sim: Simulator) -> Cpu | None:
        cpu = sim.current
        cell, access = cpu.next_cell, cpu.next_access
        assert cell is not None
        piece = self._piece(cell, access)
        conflicting = self._accesses.setdefault(piece, _Accesses()).add(cpu.id, access)
        if conflicting or not self._reduce:
            self._frontier.spoilt.add(piece)
        if piece in self._frontier.spoilt and self._granted != cpu.id:
            others = [
                other
                for other in sim.cpus
                if other is not cpu and other.runnable and other.id not in self._yielded
            ]
            if others and (self._budget or self._in_prefix()):
                chosen = self._decide([cpu, *others])
                if chosen is not cpu:
                    self._budget -= self._bounded
                    return chosen
        self._perform(cpu, cell, access, piece)
        return None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        if why is Why.BLOCK:
            waiting = sim.current.waiting_for
            assert waiting is not None
            self._waits_for[sim.current.id] = waiting
        elif why is Why.YIELD:
            self._yielded.add(sim.current.id)
        candidates = [cpu for cpu in sim.cpus if cpu.runnable and cpu.id not in self._yielded]
        if not candidates:
            self._yielded.clear()
            candidates = [cpu for cpu in sim.cpus if cpu.runnable]
        if not candidates:
            return None
        chosen = candidates[0] if len(candidates) == 1 and why is not Why.YIELD else None
        if chosen is None:
            chosen = self._decide(candidates)
        self._granted = chosen.id
        return chosen

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """A lock was handed over: its new holder sees what it protects."""
        assert self.contents is not None
        assert sim.local is not None
        lock = self._waits_for.pop(cpu.id)
        sim.local.learn(cpu.id, self.contents.protected_by(lock))

    def digest(self) -> bytes:
        """Of the shared state alone: what a run has come to when it is at rest."""
        assert self.contents is not None
        return _digest(self.contents.everything())

    def _piece(self, cell: Cell, access: int) -> str:
        key = id(cell) << 2 | access & 3
        known = self._pieces.get(key)
        if known is None:
            # Holding the cell keeps its id from being given to another.
            known = self._pieces[key] = cell, touched(cell, access)
            self._numbers[id(cell)] = int.from_bytes(_digest(cell.name)[:7])
        return known[1]

    def _perform(self, cpu: Cpu, cell: Cell, access: int, piece: str) -> None:
        assert self.contents is not None
        assert self.sim is not None
        assert self.sim.local is not None
        self._granted = -1
        if self._yielded and cpu.id not in self._yielded:
            self._yielded.clear()
        told = learnt(cell, access, self.contents) if piece in self._frontier.spoilt else 0
        self.sim.local.learn(cpu.id, (self._numbers[id(cell)], access, told))

    def _in_prefix(self) -> bool:
        return len(self.path) < len(self._prefix)

    def _decide(self, candidates: list[Cpu]) -> Cpu:
        """The CPU to go on with: as the prefix says; beyond it the first, the rest is noted."""
        if self._in_prefix():
            wanted = self._prefix[len(self.path)]
            self.path.append(wanted)
            return next(cpu for cpu in candidates if cpu.id == wanted)
        assert self.sim is not None
        sim, explored, frontier = self.sim, self._explored, self._frontier
        key = self._key(sim)
        left = frontier.budgets.get(key)
        if left is not None and left >= self._budget:
            sim.stop(SeenBefore())
        if left is None:
            explored.states += 1
        frontier.budgets[key] = self._budget
        explored.transitions += len(candidates)
        for other in candidates[1:]:
            frontier.todo.append((*self.path, other.id))
        self.path.append(candidates[0].id)
        explored.depth = max(explored.depth, len(self.path))
        return candidates[0]

    def _key(self, sim: Simulator) -> bytes:
        assert self.contents is not None
        assert sim.local is not None
        standing = tuple(
            (
                sim.local.known[cpu.id],
                cpu.state.value,
                "" if cpu.next_cell is None else cpu.next_cell.name,
                cpu.next_access,
                cpu.id in self._yielded,
            )
            for cpu in sim.cpus
        )
        current = sim.current.id if self._bounded else -1
        return _digest((standing, current, self.contents.everything()))


def _as_case(found: Run, design: Design, checks: tuple[str, ...]) -> Run:
    """The run once more, its order written down as a schedule.

    Raises:
        HarnessError: it shows something else then.
    """
    schedule = Schedule.of(found.outcome.switches)
    again = run(evolve(found.case, checks=checks).with_schedule(schedule), design)
    wanted = {finding.bucket for finding in found.findings}
    if again.finding is None or again.finding.bucket not in wanted:
        raise Nondeterminism(f"a run that showed {sorted(wanted)} does not show it again")
    return again


def _digest(value: object) -> bytes:
    """128 bits of a nested tuple of numbers and strings, the same in every process."""
    return blake2b(marshal.dumps(value, 2), digest_size=16).digest()  # type: ignore[arg-type]


def verify(
    case: Case,
    design: Design = None,
    bounds: Bounds | None = None,
    progress: Callable[[Explored, int], None] | None = None,
    frontier: Frontier | None = None,
    explored: Explored | None = None,
    every_check: bool = False,
) -> Verified:
    """Search all orders of a case's programs, its schedule left aside.

    Args:
        case: world, design, setup and programs.
        design: the class behind its design, if not built in.
        bounds: how far to go; everything by default.
        progress: called after every run, with what was done and what is left to do.
        frontier: where an earlier search stopped; it is changed.
        explored: the counts of that search.
        every_check: go on after a finding, for what other checks find in other orders.

    Raises:
        HarnessError: the design misused the harness, or raised.
    """
    bounds = bounds or Bounds()
    frontier = Frontier() if frontier is None else frontier
    explored = explored or Explored()
    began = time.monotonic() - explored.seconds
    accesses: dict[str, _Accesses] = {}
    spoilt = set(frontier.spoilt)
    found: Run | None = None
    by_check: dict[str, Run] = {}
    why = ""
    case = case.with_schedule(Schedule())
    while frontier.todo and found is None and not why:
        prefix = frontier.todo.pop()
        explorer = Explorer(prefix, frontier, accesses, explored, bounds)
        session = Session(case, design, policy=explorer, every_check=every_check)
        explorer.attach(session)
        try:
            ended = session.run_programs()
        except KeyboardInterrupt:
            frontier.todo.append(prefix)
            why = "interrupted"
            break
        explored.schedules += 1
        explored.seen |= ended.seen
        explored.seconds = time.monotonic() - began
        if progress is not None:
            progress(explored, len(frontier.todo))
        for finding in ended.findings:
            if every_check and finding.check not in by_check:
                by_check[finding.check] = _as_case(ended, design, (finding.check,))
        if ended.finding is not None and not every_check:
            found = _as_case(ended, design, case.checks)
        elif ended.outcome.end is End.REST:
            explored.finals.add(explorer.digest())
        elif ended.outcome.end is End.BOUND:
            why = f"a run took more than {case.steps} steps"
        if not frontier.todo and frontier.spoilt != spoilt:
            # Choices were missed before steps that do not commute after all: once more.
            spoilt = set(frontier.spoilt)
            frontier.todo, frontier.budgets = [()], {}
            explored.states = explored.transitions = explored.depth = 0
            explored.finals.clear()
            explored.passes += 1
        if explored.states > bounds.states:
            why = f"more than {bounds.states:,} states"
        if bounds.seconds is not None and explored.seconds >= bounds.seconds and frontier.todo:
            why = f"more than {bounds.seconds:g} s"
    found = found or next(iter(by_check.values()), None)
    if found is not None:
        return Verified(Verdict.FAIL, bounds, explored, found, why, by_check)
    if not why and WITNESS not in explored.seen:
        why = f"vacuous: it never happened that {CHECKS[WITNESS].witness}"
    if why:
        return Verified(Verdict.UNKNOWN, bounds, explored, why=why)
    return Verified(Verdict.PASS, bounds, explored)
