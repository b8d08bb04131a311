"""One run of the search: it follows a branch, then records the other choices that are left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.check.finding import Finding
from tdxfuzz.run.blame import NotDeterministicError
from tdxfuzz.run.effects import touched
from tdxfuzz.run.observer import Observer, digest_of
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Session
from tdxfuzz.sim import (
    LOOK_FOR,
    Cell,
    Cpu,
    Simulator,
    StopRun,
    Why,
    default_choice,
)
from tdxfuzz.verify.progress import END, Edge
from tdxfuzz.verify.sleep_sets import Asleep, CheckListener, Transition, still_asleep
from tdxfuzz.verify.worklist import Bounds, Branch, SearchCounts, Worklist

UNLIMITED = 1 << 30

DIFFERS = f"the same order leads to another state: the design is not deterministic. {LOOK_FOR}"


class Diverged(StopRun):
    """The way to a branch is not the one that was noted."""


class SeenBefore(StopRun):
    """The run has come to a state that was explored already."""


class Explorer:
    """A policy that follows a branch, and from there on notes what else could be tried.

    Up to the branch it only makes the switches that lead there; then it attends to every
    step. One explorer serves one run; what is common to all runs is in the worklist.

    Args:
        session: about to run the programs; from now on the explorer is its policy.
        branch: where to go; None stands for the start.
        worklist: what is known and left to do; it is changed.
        counts: of the search; they are changed.
        bounds: of the search.
    """

    def __init__(
        self,
        session: Session,
        branch: Branch | None,
        worklist: Worklist,
        counts: SearchCounts,
        bounds: Bounds,
    ) -> None:
        self.due = -1 if branch is None else branch.switches[0][0]
        self._sim = session.sim
        self._observer = Observer(session.host, session.remembered)
        self._branch = branch
        self._worklist = worklist
        self._counts = counts
        self._reduce = bounds.reduce
        self._layer = session.layer
        self._hints = session.layer.uses_hint
        self._hostile = session.case.design == HOSTILE
        self._bounded = bounds.preemptions is not None
        self._budget = UNLIMITED if bounds.preemptions is None else bounds.preemptions
        self._next = 0
        self._granted = -1
        self._depth = 0
        self._chosen: tuple[bytes, int] | None = None
        self._chosen_at = self._stepped = self._idle = 0
        self._turned_round = False
        self._findings = session.findings
        self._found = 0
        self._asleep: Asleep = {}
        self._listener = CheckListener()
        self._pieces: dict[int, tuple[Cell, str]] = {}
        self._sleep = (
            bounds.sleep
            and bounds.reduce
            and not self._bounded
            and not session.sim.softirqs
            and worklist.graph is None
        )
        if self._sleep:
            session.overhear(self._listener)
        # Here a loop is known by its states, and what a run does beyond its bound proves nothing.
        session.sim.rounds.most = UNLIMITED
        session.sim.beyond = session.sim.judges_loop = None
        session.steer(self)

    def preempt(self, sim: Simulator) -> Cpu | None:
        cpu = sim.current
        self._observer.goes_on(cpu)
        if self._branch is not None:
            target = self._follow(self._branch)
            if target is not None and target is not cpu:
                return target
            if self._branch is not None:
                return None
        cell, access = cpu.next_cell, cpu.next_access
        assert isinstance(cell, Cell)
        piece = self._piece(cell, access)
        choice = self._worklist.is_choice(sim, cell, access, piece, self._reduce)
        if choice and self._granted != cpu.id and self._budget:
            others = [other for other in sim.cpus if other is not cpu and other.runnable]
            if others:
                target = self._decide([cpu, *others])
                if target is not cpu:
                    self._granted = target.id
                    return target
        self._perform(cpu, cell, access, piece)
        return None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        here = sim.current
        self._observer.stops(here, why)
        if why is Why.YIELD:
            self._worklist.loops = True
            self._listener.transition.heard_by_check = True
        self._idle |= _idle(sim)
        if self._branch is not None:
            target = self._follow(self._branch)
            chosen = target or default_choice(sim, why)
            if chosen is not None:
                self._observer.goes_on(chosen)
            return chosen
        candidates = [cpu for cpu in sim.cpus if cpu.runnable]
        if not candidates:
            return None
        target = candidates[0]
        if len(candidates) > 1 or why is Why.YIELD:
            target = self._decide(candidates, free=True)
        else:
            self._end_transition()
            if target.id in self._asleep:
                self._turn_round()
        self._granted = target.id
        return target

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """A lock was handed over: its new holder sees what it protects."""
        self._observer.woken(cpu, learns=self._branch is None)

    def end(self) -> bytes:
        """The digest of the shared state that the run has come to."""
        return digest_of(self._observer.state)

    def _follow(self, branch: Branch) -> Cpu | None:
        """On the way to the branch: the CPU to switch to now, if any. Of several switches before
        one step each decision there takes the next one: a CPU may end without a step. At the
        branch, all that was known there is known again.
        """
        sim, switches = self._sim, branch.switches
        target = None
        step, cpu = switches[self._next]
        if step <= sim.clock:
            target = sim.cpus[cpu]
            if step < sim.clock or not target.runnable:
                sim.stop(Diverged())
            self._next += 1
        if target is None or self._next < len(switches):
            self.due = switches[self._next][0]
            return target
        self._observer.local.restore(branch.local)
        if self._key() != branch.chosen[0]:
            self._branch = branch
            sim.stop(Diverged())
        self._budget = branch.budget
        self._chosen, self._chosen_at = branch.chosen, sim.clock
        self._stepped = self._idle = 0
        self._asleep = branch.asleep
        self._listener.transition = branch.transition
        self._granted = target.id
        self._depth = len(switches)
        self._branch = None
        self.due = -1
        return target

    def _piece(self, cell: Cell, access: int) -> str:
        key = id(cell) << 6 | access  # an access has five bits
        known = self._pieces.get(key)
        if known is None:
            # Holding the cell keeps its id from being given to another.
            known = self._pieces[key] = cell, touched(cell, access, self._hostile, self._hints)
        return known[1]

    def _perform(self, cpu: Cpu, cell: Cell, access: int, piece: str) -> None:
        self._granted = -1
        self._stepped |= 1 << cpu.id
        if self._sleep and piece:
            self._listener.transition.add(piece, access)
        self._observer.performs(cpu, cell, access)

    def _end_transition(self) -> None:
        """A choice has been come to: who is still asleep here."""
        made, self._listener.transition = self._listener.transition, Transition()
        made.over = True
        self._asleep = still_asleep(self._asleep, made)

    def _decide(self, candidates: list[Cpu], free: bool = False) -> Cpu:
        """Whom to go on with; the others that must be tried are noted. ``free``: none of them
        is a preemption.

        Raises:
            SeenBefore: through the simulator, if nothing is left to be tried here.
        """
        counts = self._counts
        self._end_transition()
        key = self._key()
        self._arrive(key)
        targets = self._untried(key, candidates)
        if not targets:
            self._turn_round()
        counts.transitions += len(targets)
        self._depth += 1
        counts.depth = max(counts.depth, self._depth)
        if len(targets) > 1:
            budget = self._budget - (self._bounded and not free)
            self._note_branches(key, targets, budget)
        self._chosen = key, targets[0].id
        return targets[0]

    def ended(self) -> None:
        """The run is over. Unless it turned round, its last choice has led to an end."""
        self._worklist.contended.update(self._layer.shared_without_steps())
        if not self._turned_round:
            self._arrive(END)

    def told(self, ended: Run) -> Sequence[Finding]:
        """What the run has shown. If it turned round, what checks judge by its end does not count:
        the runs that were there before came to an end of their own.

        Raises:
            NotDeterministicError: it has not come to its branch as it was noted.
        """
        if self._branch is not None:
            raise NotDeterministicError(DIFFERS, ended)
        return ended.findings[: self._found] if self._turned_round else ended.findings

    def _turn_round(self) -> NoReturn:
        """What follows was explored already.

        Raises:
            SeenBefore: through the simulator.
        """
        self._turned_round = True
        self._found = len(self._findings)
        self._sim.stop(SeenBefore())

    def _arrive(self, key: bytes) -> None:
        """Note in the graph which state the last choice has led to."""
        graph = self._worklist.graph
        if graph is not None and self._branch is None:
            idle = _idle(self._sim)
            steps = self._sim.clock - self._chosen_at
            graph.arrive(self._chosen, Edge(key, steps, self._stepped, self._idle | idle), idle)
            self._chosen_at = self._sim.clock
            self._stepped = self._idle = 0

    def _untried(self, key: bytes, candidates: list[Cpu]) -> list[Cpu]:
        """Those candidates that have not been tried at a state yet, nor need not be."""
        remembered = self._worklist.remembered
        known = remembered.get(key)
        if known is None:
            self._counts.states += 1
        if self._bounded:
            if known is not None and known >= self._budget:
                return []
            remembered[key] = self._budget
            return candidates
        asleep = sum(1 << cpu for cpu in self._asleep)
        remembered[key] = asleep if known is None else asleep & known
        return [
            cpu
            for cpu in candidates
            if cpu.id not in self._asleep and (known is None or known >> cpu.id & 1)
        ]

    def _note_branches(self, key: bytes, targets: list[Cpu], budget: int) -> None:
        """All but the first of the targets are to be followed later, the last of them first:
        while it is, those before it are asleep.
        """
        sim = self._sim
        before = tuple(sim.switches)
        local = self._observer.local.snapshot()
        asleep = {**self._asleep, targets[0].id: self._listener.transition}
        branches: list[Branch] = []
        for other in reversed(targets[1:]):
            switches = (*before, (sim.clock, other.id))
            sleepers = dict(asleep) if self._sleep else {}
            branch = Branch(switches, budget, local, (key, other.id), sleepers)
            asleep[other.id] = branch.transition
            branches.append(branch)
        self._worklist.todo += reversed(branches)

    def _key(self) -> bytes:
        return self._observer.key(self._sim.current.id if self._bounded else -1)


def _idle(sim: Simulator) -> int:
    """The CPUs (as bits) that cannot run now."""
    return sum(1 << cpu.id for cpu in sim.cpus if not cpu.runnable)
