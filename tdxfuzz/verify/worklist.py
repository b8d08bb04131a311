"""The bounds, the counts and the worklist of a search in all orders."""

from __future__ import annotations

from attrs import define, field, frozen

from tdxfuzz.sim import READ, SHARED, Cell, Cpu, Simulator, WaitLock
from tdxfuzz.sim.local import Snapshot as LocalSnapshot
from tdxfuzz.verify.progress import StateGraph
from tdxfuzz.verify.sleep_sets import Asleep, Transition

DEFAULT_STATES = 5_000_000

RUNS, TABLES = "runs", "tables"
"""What a search goes through."""

YOUNG = 1000
"""Runs after which a pass that missed choices is gone through all the same, for there may be
more to find out."""


@frozen
class Bounds:
    """How far to go: ``preemptions`` None means all orders. ``states`` and ``seconds`` bound
    memory and time; reaching them leaves the verdict unknown. Without ``reduce`` there is a
    choice before every step, whether it commutes or not; without ``sleep`` both orders of two
    steps that commute with each other are tried.
    """

    preemptions: int | None = None
    states: int = DEFAULT_STATES
    seconds: float | None = None
    reduce: bool = True
    sleep: bool = True

    def __str__(self) -> str:
        if self.preemptions is None:
            return "all orders"
        return f"up to {self.preemptions} preemption{'s' if self.preemptions != 1 else ''}"


@define
class SearchCounts:
    """What a search did: its counts grow while it goes on.

    ``transitions`` are choices of a CPU at a state, ``schedules`` the runs made,
    ``depth`` the most decisions of one run, ``passes`` how often it began again because
    a step turned out not to commute. ``finals`` are the digests of the states at rest, ``met`` the
    faults whose occasion came, as people write them.
    """

    states: int = 0
    transitions: int = 0
    schedules: int = 0
    depth: int = 0
    passes: int = 1
    seconds: float = 0.0
    finals: set[bytes] = field(factory=set)
    seen: set[str] = field(factory=set)
    met: set[str] = field(factory=set)

    def begin_again(self) -> None:
        """A new pass counts anew; the rest is of all passes."""
        self.states = self.transitions = self.depth = 0
        self.finals.clear()
        self.passes += 1


@frozen
class Branch:
    """A choice that has yet to be made: go on with ``cpu`` before step ``clock``.

    ``switches`` lead there from the start, as (step, CPU); ``budget`` is the preemptions
    left then, ``local`` what the CPUs know, ``chosen`` the
    state's key and the CPU, ``asleep`` those of whom another branch takes care. ``transition`` is
    what the choice turns out to do.
    """

    switches: tuple[tuple[int, int], ...]
    budget: int
    local: LocalSnapshot
    chosen: tuple[bytes, int]
    asleep: Asleep = field(factory=dict)
    transition: Transition = field(factory=Transition)


@define
class Accesses:
    """Who has touched one piece of shared state, and whether that commutes.

    ``cpus`` is a set of CPUs as bits. ``reads`` and ``shares`` say whether all they did was
    to read, or to add to it in ways of which the order does not matter.
    """

    cpus: int = 0
    reads: bool = True
    shares: bool = True

    def add(self, cpu: int, access: int) -> bool:
        """Note an access; whether there are now two that do not commute."""
        self.cpus |= 1 << cpu
        self.reads = self.reads and access & 3 == READ
        self.shares = self.shares and bool(access & SHARED)
        return bool(self.cpus & (self.cpus - 1)) and not self.reads and not self.shares


@define
class Worklist:
    """What a search has yet to do and what it remembers; enough to go on later.

    ``todo`` are the branches to follow, None standing for the start. ``remembered`` has, for
    each state's key, how it was explored: under a bound the most preemptions that were left
    then, else the CPUs (as bits) that were asleep each time. ``accesses``
    says who was seen to touch which piece of shared state, and ``contended`` names those
    before whose accesses there is a choice. ``began`` is how many of them were known when the
    pass began, and how many runs had been made: pieces found since had choices missed.
    ``loops`` says whether a retry point was passed: then there may be cycles, and the next pass
    keeps the ``graph`` of states. ``tables`` is the search on tables that is under way,
    of which :mod:`tdxfuzz.verify.table_search` knows more.
    """

    todo: list[Branch | None] = field(factory=lambda: [None])
    remembered: dict[bytes, int] = field(factory=dict)
    accesses: dict[str, Accesses] = field(factory=dict)
    contended: set[str] = field(factory=set)
    began: tuple[int, int] = (0, 0)
    loops: bool = False
    graph: StateGraph | None = None
    tables: object = None
    engine: str = RUNS

    def is_choice(
        self, sim: Simulator, cell: Cell, access: int, piece: str, reduce: bool = True
    ) -> bool:
        """Note that the current CPU is about to access a piece; whether there is a choice before.
        Without ``reduce`` there always is.
        """
        cpu = sim.current
        if not piece and reduce:
            return _may_be_interrupted(sim)
        if self.accesses.setdefault(piece, Accesses()).add(cpu.id, access) or not reduce:
            self.contended.add(piece)
        is_choice = piece in self.contended and not (reduce and _hands_over(cell, cpu))
        return is_choice or _may_be_interrupted(sim)

    def must_begin_again(self, runs: int) -> bool:
        """Whether the pass was in vain: at its end, or while it is young."""
        if self.loops and self.graph is None:
            return True
        contended, first = self.began
        return len(self.contended) > contended and (not self.todo or runs - first < YOUNG)

    def begin_again(self, runs: int) -> None:
        """Begin a new pass, with what is known now."""
        self.todo, self.remembered = [None], {}
        self.graph = StateGraph() if self.loops else None
        self.began = len(self.contended), runs


def _hands_over(cell: Cell, cpu: Cpu) -> bool:
    """Whether a CPU is about to release a lock that others wait for. It goes to the first in
    the queue, whatever another CPU does with the lock before or after.
    """
    return isinstance(cell, WaitLock) and bool(cell.queue) and cell.is_held_alone_by(cpu)


def _may_be_interrupted(sim: Simulator) -> bool:
    """Whether the current CPU's softirq could come now. It may not be able to later: that
    interrupts go off is no step of its own.
    """
    cpu = sim.current
    return bool(sim.softirqs) and cpu.on == cpu.id and sim.softirqs[cpu.id].runnable
