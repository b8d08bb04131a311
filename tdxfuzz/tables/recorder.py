"""One run that records legs: it follows a way, and from there on makes those that are missing."""

from __future__ import annotations

from typing import NoReturn, Protocol

from tdxfuzz.run.blame import NotDeterministicError
from tdxfuzz.run.effects import touched
from tdxfuzz.run.observer import Observer, digest_of
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Session
from tdxfuzz.sim import (
    LOOK_FOR,
    Cell,
    Cpu,
    End,
    Simulator,
    StopRun,
    Why,
    default_choice,
)
from tdxfuzz.tables.table import Leg, Point, Switches, Table, Way

UNLIMITED = 1 << 30

DIFFERS = "the same order leads to something else: the design is not deterministic"


class NothingMissing(StopRun):
    """All that may be done from here was recorded already."""


class Diverged(StopRun):
    """The same order leads to another state than before."""


class Plan(Protocol):
    """Says what to record."""

    def is_choice(self, sim: Simulator, cell: Cell, access: int, piece: str) -> bool:
        """Whether there is a choice before a step of the current CPU."""
        ...

    def next(self, point: Point) -> int | None:
        """The CPU whose leg is missing at a point; None if there is no such CPU."""
        ...

    def loops(self) -> None:
        """A retry point was passed."""

    def proof(self, point: Point) -> int | None:
        """A CPU whose leg is known at a point, and is to be made once more in this run, to be
        compared. Asked until there is one.
        """
        ...


class Recorder:
    """The policy of one run.

    Args:
        session: about to run the programs; from now on the recorder is its policy.
        table: legs are added.
        missing: the state and the CPU to begin with. None: the start.
        plan: says what to record.
    """

    def __init__(
        self, session: Session, table: Table, missing: tuple[bytes, int] | None, plan: Plan
    ) -> None:
        self._sim = session.sim
        self._table = table
        self._plan = plan
        self._observer = Observer(session.host, session.remembered)
        self._hints = session.layer.uses_hint
        self._findings = session.findings
        self._ahead = missing
        self._way = None if missing is None else table.ways[missing[0]]
        self._switches = [] if self._way is None or missing is None else self._way.to(missing[1])
        self.due = self._switches[0][0] if self._switches else -1
        self._next = 0
        self._granted = -1
        self._chosen: tuple[bytes, int] | None = None
        self._known: Leg | None = None
        self._chosen_at = self._stepped = self._idle = 0
        self._path: Switches | None = None
        self._counted = 0
        self._pieces: dict[int, tuple[Cell, str]] = {}
        self._has_proved = self._is_over = False
        self._problem = ""
        session.sim.rounds.most = UNLIMITED
        session.sim.beyond = session.sim.judges_loop = None
        session.steer(self)

    def preempt(self, sim: Simulator) -> Cpu | None:
        cpu = sim.current
        self._observer.goes_on(cpu)
        if self._ahead is not None:
            target = self._follow(self._ahead)
            if target is not None and target is not cpu:
                return target
            if self._ahead is not None:
                return None
        cell, access = cpu.next_cell, cpu.next_access
        assert isinstance(cell, Cell)
        if self._plan.is_choice(sim, cell, access, self._piece(cell, access)):
            others = [other for other in sim.cpus if other is not cpu and other.runnable]
            if others and self._granted != cpu.id:
                target = self._arrive([cpu, *others], free=False)
                if target is not cpu:
                    self._granted = target.id
                    return target
        self._granted = -1
        self._stepped |= 1 << cpu.id
        self._observer.performs(cpu, cell, access)
        return None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        self._observer.stops(sim.current, why)
        if why is Why.YIELD:
            self._plan.loops()
        self._idle |= idle(sim)
        if self._ahead is not None:
            chosen = self._follow(self._ahead) or default_choice(sim, why)
            if chosen is not None:
                self._observer.goes_on(chosen)
            return chosen
        candidates = [cpu for cpu in sim.cpus if cpu.runnable]
        if not candidates:
            return None
        target = candidates[0]
        if len(candidates) > 1 or why is Why.YIELD:
            target = self._arrive(candidates, free=True)
        self._granted = target.id
        return target

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """A lock was handed over: its new holder sees what it protects."""
        self._observer.woken(cpu, learns=self._ahead is None)

    def ended(self, run: Run) -> bool:
        """The run is over; whether it ended as most do: all programs did, or nothing was missing.

        Raises:
            NotDeterministicError: the same order has led to something else than before.
        """
        is_rest = not run.findings and run.outcome.end is End.REST
        if self._ahead is not None and not self._problem:
            self._problem = "a run ends on its way to a state"
        elif is_rest:
            final = digest_of(self._observer.state)
            steps = run.outcome.steps - self._chosen_at
            self._record(Leg(None, steps, self._stepped, self._idle, final))
        if self._problem:
            raise NotDeterministicError(f"{DIFFERS} ({self._problem}). {LOOK_FOR}", run)
        return is_rest or self._is_over

    def _follow(self, ahead: tuple[bytes, int]) -> Cpu | None:
        """On the way: the CPU to switch to now, if any; one at each decision. At its end, all that
        was known there is known again.
        """
        sim, switches = self._sim, self._switches
        target = None
        step, cpu = switches[self._next]
        if step <= sim.clock:
            target = sim.cpus[cpu]
            if step < sim.clock or not target.runnable:
                self._diverge(f"CPU {cpu} cannot go on before step {step}")
            self._next += 1
        if target is None or self._next < len(switches):
            self.due = switches[self._next][0]
            return target
        assert self._way is not None
        self._observer.local.restore(self._way.local)
        if self._observer.key() != ahead[0]:
            self._diverge(f"step {sim.clock} finds another state than before")
        self._ahead = None
        self._go_on(*ahead)
        self._granted = target.id
        self._path, self._counted = self._way.switches, len(sim.switches)
        self.due = -1
        return target

    def _go_on(self, key: bytes, cpu: int) -> None:
        """A leg begins."""
        self._chosen, self._chosen_at = (key, cpu), self._sim.clock
        self._stepped = self._idle = 0

    def _arrive(self, candidates: list[Cpu], free: bool) -> Cpu:
        """A point has been come to: the CPU to go on with."""
        sim = self._sim
        key = self._observer.key()
        ids = tuple([cpu.id for cpu in candidates])
        point = Point(key, sim.current.id, ids, free, idle(sim))
        self._note_way(key)
        self._record(Leg(point, sim.clock - self._chosen_at, self._stepped, self._idle))
        if self._problem:
            sim.stop(Diverged())
        target = None if self._has_proved else self._plan.proof(point)
        if target is not None:
            self._has_proved = True
            self._known = self._table.legs[key, target]
        else:
            target = self._plan.next(point)
        if target is None:
            # What checks judge by the end of this run says nothing, what they found before does.
            self._is_over = not self._findings
            sim.stop(NothingMissing())
        self._go_on(key, target)
        return sim.cpus[target]

    def _record(self, leg: Leg) -> None:
        """A leg is over."""
        if self._chosen is None:
            self._table.start = leg.to
        elif self._known is None:
            self._table.legs[self._chosen] = leg
        elif leg != self._known:
            cpu, known = self._chosen[1], self._known
            self._problem = f"CPU {cpu} made {known}, and makes {leg}"
        self._known = None

    def _note_way(self, key: bytes) -> None:
        for clock, cpu in self._sim.switches[self._counted :]:
            self._path = self._path, clock, cpu
        self._counted = len(self._sim.switches)
        if key not in self._table.ways:
            local = self._observer.local.snapshot()
            self._table.ways[key] = Way(self._path, self._sim.clock, local)

    def _diverge(self, how: str) -> NoReturn:
        self._problem = how
        self._sim.stop(Diverged())

    def _piece(self, cell: Cell, access: int) -> str:
        key = id(cell) << 6 | access  # an access has five bits
        known = self._pieces.get(key)
        if known is None:
            # Holding the cell keeps its id from being given to another.
            known = self._pieces[key] = cell, touched(cell, access, False, self._hints)
        return known[1]


def idle(sim: Simulator) -> int:
    """The CPUs (as bits) that cannot run now."""
    return sum(1 << cpu.id for cpu in sim.cpus if not cpu.runnable)
