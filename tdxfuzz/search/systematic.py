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
from collections.abc import Callable, Iterator, Mapping
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
    State,
    StopRun,
    Why,
    default_choice,
)
from tdxfuzz.sim.local import Snapshot as LocalSnapshot

DEFAULT_STATES = 5_000_000
WITNESS = "refcount"
"""The check whose witness must have occurred, or the search has shown nothing."""

UNLIMITED = 1 << 30


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


@frozen
class Branch:
    """A choice that has yet to be made: go on with ``cpu`` before step ``clock``.

    ``switches`` lead there from the start, as (step, CPU); ``budget`` is the preemptions
    left then, ``local`` what the CPUs know, ``yielded`` those at a retry point.
    """

    switches: tuple[tuple[int, int], ...]
    budget: int
    local: LocalSnapshot
    yielded: tuple[int, ...]


@define
class Frontier:
    """What a search has yet to do and what it remembers; enough to go on later.

    ``todo`` are the branches to follow, None standing for the start. ``budgets`` has, for
    each state's key, the most preemptions that were left when it was explored. ``spoilt``
    names the pieces of shared state before whose accesses there is a choice.
    """

    todo: list[Branch | None] = field(factory=lambda: [None])
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
    """A policy that follows a branch, and from there on notes what else could be tried.

    Up to the branch it only makes the switches that lead there; then it attends to every
    step. One explorer serves one run; what is common to all runs is in the frontier.
    """

    def __init__(
        self,
        branch: Branch | None,
        frontier: Frontier,
        accesses: dict[str, _Accesses],
        explored: Explored,
        bounds: Bounds,
    ) -> None:
        self._branch = branch
        self._frontier = frontier
        self._accesses = accesses
        self._explored = explored
        self._reduce = bounds.reduce
        self._bounded = bounds.preemptions is not None
        self._budget = UNLIMITED if bounds.preemptions is None else bounds.preemptions
        self._next = 0
        self._granted = -1
        self._depth = 0
        self._yielded: set[int] = set()
        self._parked: dict[int, str] = {}
        self._waits_for: dict[int, Cell] = {}
        self._pieces: dict[int, tuple[Cell, str]] = {}
        self._numbers: dict[int, int] = {}
        self.due = -1 if branch is None else branch.switches[0][0]
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
        if self._branch is not None:
            target = self._follow(sim)
            if target is not None and target is not cpu:
                return target
            if self._branch is not None:
                return None
        cell, access = cpu.next_cell, cpu.next_access
        assert cell is not None
        self._parked.pop(cpu.id, None)
        piece = self._piece(cell, access)
        conflicting = self._accesses.setdefault(piece, _Accesses()).add(cpu.id, access)
        if conflicting or not self._reduce:
            self._frontier.spoilt.add(piece)
        if piece in self._frontier.spoilt and self._granted != cpu.id and self._budget:
            others = [
                other
                for other in sim.cpus
                if other is not cpu and other.runnable and other.id not in self._yielded
            ]
            if others:
                self._decide([cpu, *others])
        self._perform(cpu, cell, access, piece)
        return None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        here = sim.current
        if why is Why.BLOCK:
            assert here.waiting_for is not None
            self._waits_for[here.id] = here.waiting_for
        elif why is Why.YIELD:
            self._yielded.add(here.id)
            self._parked[here.id] = "retry"
        if self._branch is not None:
            target = self._follow(sim)
            chosen = target or default_choice(sim, why)
            if chosen is not None:
                self._parked.pop(chosen.id, None)
            return chosen
        candidates = [cpu for cpu in sim.cpus if cpu.runnable and cpu.id not in self._yielded]
        if not candidates:
            self._yielded.clear()
            candidates = [cpu for cpu in sim.cpus if cpu.runnable]
        if not candidates:
            return None
        if len(candidates) > 1 or why is Why.YIELD:
            self._decide(candidates, free=True)
        self._granted = candidates[0].id
        return candidates[0]

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """A lock was handed over: its new holder sees what it protects."""
        assert self.contents is not None
        assert sim.local is not None
        lock = self._waits_for.pop(cpu.id)
        self._parked[cpu.id] = "woken"
        if self._branch is None:
            sim.local.learn(cpu.id, self.contents.protected_by(lock))

    def digest(self) -> bytes:
        """Of the shared state that the run has come to."""
        assert self.contents is not None
        return digest_of(self.contents)

    def _follow(self, sim: Simulator) -> Cpu | None:
        """On the way to the branch: the CPU to switch to now, if any. At the branch, all
        that was known there is known again.
        """
        assert self._branch is not None
        assert sim.local is not None
        switches = self._branch.switches
        target = None
        while self._next < len(switches) and switches[self._next][0] <= sim.clock:
            target = sim.cpus[switches[self._next][1]]
            self._next += 1
        if self._next < len(switches):
            self.due = switches[self._next][0]
            return target
        assert target is not None
        sim.local.restore(self._branch.local)
        self._budget = self._branch.budget
        self._yielded = set(self._branch.yielded)
        self._granted = target.id
        self._depth = len(switches)
        self._branch = None
        self.due = -1
        return target

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

    def _decide(self, candidates: list[Cpu], free: bool = False) -> None:
        """Go on with the first; note the others. ``free``: none of them is a preemption.

        Raises:
            SeenBefore: through the simulator, if the state was explored already.
        """
        sim, explored, frontier = self.sim, self._explored, self._frontier
        assert sim is not None
        assert sim.local is not None
        key = self._key(sim)
        left = frontier.budgets.get(key)
        if left is not None and left >= self._budget:
            sim.stop(SeenBefore())
        if left is None:
            explored.states += 1
        frontier.budgets[key] = self._budget
        explored.transitions += len(candidates)
        self._depth += 1
        explored.depth = max(explored.depth, self._depth)
        if len(candidates) > 1:
            local = sim.local.snapshot()
            budget = self._budget - (self._bounded and not free)
            for other in candidates[1:]:
                switches = (*_last_at_each_step(sim.switches), (sim.clock, other.id))
                frontier.todo.append(Branch(switches, budget, local, tuple(self._yielded)))

    def _key(self, sim: Simulator) -> bytes:
        assert self.contents is not None
        assert sim.local is not None
        standing = tuple(
            (
                sim.local.known[cpu.id],
                cpu.state.value,
                self._place(cpu),
                cpu.id in self._yielded,
            )
            for cpu in sim.cpus
        )
        current = sim.current.id if self._bounded else -1
        remembered = self.contents.remembered()
        return _digest((standing, current, self.contents.everything(), remembered))

    def _place(self, cpu: Cpu) -> str:
        """Where a CPU stands: what it waits for, or what it is about to do."""
        if cpu.waiting_for is not None:
            return cpu.waiting_for.name
        parked = self._parked.get(cpu.id)
        if parked is not None or cpu.next_cell is None or cpu.state is State.DONE:
            return parked or ""
        return f"{cpu.next_cell.name} {cpu.next_access}"


def _last_at_each_step(switches: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Of several switches before one step only the last counts."""
    for i, switch in enumerate(switches):
        if i + 1 == len(switches) or switches[i + 1][0] != switch[0]:
            yield switch


def digest_of(contents: Contents) -> bytes:
    """128 bits that stand for all shared state."""
    return _digest(contents.everything())


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
        branch = frontier.todo.pop()
        explorer = Explorer(branch, frontier, accesses, explored, bounds)
        session = Session(case, design, policy=explorer, every_check=every_check)
        explorer.attach(session)
        try:
            ended = session.run_programs()
        except KeyboardInterrupt:
            frontier.todo.append(branch)
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
            frontier.todo, frontier.budgets = [None], {}
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
