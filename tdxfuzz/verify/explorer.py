"""One run of the search: it follows a branch, then records the other choices that are left."""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from hashlib import blake2b

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.host.cells import RelaxPoint
from tdxfuzz.run.effects import learnt, touched
from tdxfuzz.run.session import Session
from tdxfuzz.run.shared_state import SharedState
from tdxfuzz.sim import (
    Cell,
    Cpu,
    LocalMemory,
    Simulator,
    Softirq,
    State,
    StopRun,
    Why,
    default_choice,
)
from tdxfuzz.verify.sleep_sets import Asleep, CheckListener, Transition, still_asleep
from tdxfuzz.verify.worklist import Accesses, Bounds, Branch, SearchCounts, Worklist

UNLIMITED = 1 << 30


class SeenBefore(StopRun):
    """The run has come to a state that was explored already."""


class Explorer:
    """A policy that follows a branch, and from there on notes what else could be tried.

    Up to the branch it only makes the switches that lead there; then it attends to every
    step. One explorer serves one run; what is common to all runs is in the frontier.
    """

    def __init__(
        self,
        branch: Branch | None,
        frontier: Worklist,
        explored: SearchCounts,
        bounds: Bounds,
    ) -> None:
        self._branch = branch
        self._frontier = frontier
        self._explored = explored
        self._reduce = bounds.reduce
        self._hostile = self._hints = False
        self._bounded = bounds.preemptions is not None
        self._budget = UNLIMITED if bounds.preemptions is None else bounds.preemptions
        self._next = 0
        self._granted = -1
        self._depth = 0
        self._yielded: set[int] = set()
        self._sleep = bounds.sleep and bounds.reduce and not self._bounded
        self._asleep: Asleep = {}
        self._listener = CheckListener()
        self._parked: dict[int, str] = {}
        self._waits_for: dict[int, Cell] = {}
        self._pieces: dict[int, tuple[Cell, str]] = {}
        self._numbers: dict[int, int] = {}
        self.due = -1 if branch is None else branch.switches[0][0]
        self.session: Session | None = None
        self.sim: Simulator | None = None
        self.contents: SharedState | None = None

    def attach(self, session: Session) -> None:
        """Look at this session's world."""
        self._hints = session.layer.uses_hint
        self._hostile = session.case.design == HOSTILE
        self.session = session
        self.sim = session.sim
        self.contents = SharedState(session.host)
        if session.sim.softirqs:
            self._sleep = False
        if self._sleep:
            session.overhear(self._listener)
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
        conflicting = self._frontier.accesses.setdefault(piece, Accesses()).add(cpu.id, access)
        if conflicting or not self._reduce:
            self._frontier.contended.add(piece)
        choice = piece in self._frontier.contended or _may_be_interrupted(sim)
        if choice and self._granted != cpu.id and self._budget:
            others = [
                other
                for other in sim.cpus
                if other is not cpu and other.runnable and other.id not in self._yielded
            ]
            if others:
                target = self._decide([cpu, *others])
                if target is not cpu:
                    self._granted = target.id
                    return target
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
            self._listener.transition.heard_by_check = True
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
        target = candidates[0]
        if len(candidates) > 1 or why is Why.YIELD:
            target = self._decide(candidates, free=True)
        else:
            self._end_transition()
            if target.id in self._asleep:
                sim.stop(SeenBefore())
        self._granted = target.id
        return target

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
        self._asleep = self._branch.asleep
        self._listener.transition = self._branch.transition
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
            self._numbers[id(cell)] = int.from_bytes(_digest(cell.name)[:7])
        return known[1]

    def _perform(self, cpu: Cpu, cell: Cell, access: int, piece: str) -> None:
        assert self.contents is not None
        assert self.sim is not None
        assert self.sim.local is not None
        self._granted = -1
        if self._yielded and cpu.id not in self._yielded:
            self._yielded.clear()
        told = learnt(cell, access, self.contents) if piece in self._frontier.contended else 0
        if self._sleep:
            self._listener.transition.add(piece, access)
        # Whoever passes a retry point is to know what it knew when it entered the loop.
        if not isinstance(cell, RelaxPoint):
            self.sim.local.learn(cpu.id, (self._numbers[id(cell)], access, told))

    def _end_transition(self) -> None:
        """A choice has been come to: who is still asleep here."""
        made, self._listener.transition = self._listener.transition, Transition()
        made.over = True
        # Who must let others go first is no part of a transition.
        self._asleep = {} if self._yielded else still_asleep(self._asleep, made)

    def _decide(self, candidates: list[Cpu], free: bool = False) -> Cpu:
        """Whom to go on with; the others that must be tried are noted. ``free``: none of them
        is a preemption.

        Raises:
            SeenBefore: through the simulator, if nothing is left to be tried here.
        """
        sim, explored = self.sim, self._explored
        assert sim is not None
        self._end_transition()
        targets = self._untried(self._key(sim), candidates)
        if not targets:
            sim.stop(SeenBefore())
        explored.transitions += len(targets)
        self._depth += 1
        explored.depth = max(explored.depth, self._depth)
        if len(targets) > 1:
            budget = self._budget - (self._bounded and not free)
            self._note_branches(targets, budget)
        return targets[0]

    def _untried(self, key: bytes, candidates: list[Cpu]) -> list[Cpu]:
        """Those candidates that have not been tried at a state yet, nor need not be."""
        remembered = self._frontier.remembered
        known = remembered.get(key)
        if known is None:
            self._explored.states += 1
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

    def _note_branches(self, targets: list[Cpu], budget: int) -> None:
        """All but the first of the targets are to be followed later, the last of them first:
        while it is, those before it are asleep.
        """
        sim = self.sim
        assert sim is not None
        assert sim.local is not None
        before = tuple(_last_at_each_step(sim.switches))
        local, yielded = sim.local.snapshot(), tuple(self._yielded)
        asleep = {**self._asleep, targets[0].id: self._listener.transition}
        branches: list[Branch] = []
        for other in reversed(targets[1:]):
            switches = (*before, (sim.clock, other.id))
            sleepers = dict(asleep) if self._sleep and not yielded else {}
            branch = Branch(switches, budget, local, yielded, sleepers)
            asleep[other.id] = branch.transition
            branches.append(branch)
        self._frontier.todo += reversed(branches)

    def _key(self, sim: Simulator) -> bytes:
        assert self.session is not None
        assert self.contents is not None
        assert sim.local is not None
        standing = tuple(
            (
                sim.local.known[cpu.id],
                cpu.state.value,
                self._place(cpu),
                cpu.id in self._yielded,
                isinstance(cpu, Softirq) and cpu.active,
            )
            for cpu in sim.cpus
        )
        current = sim.current.id if self._bounded else -1
        remembered = self.contents.remembered(), self.session.remembered()
        return _digest((standing, current, self.contents.everything(), remembered))

    def _place(self, cpu: Cpu) -> str:
        """Where a CPU stands: what it waits for, or what it is about to do."""
        if cpu.waiting_for is not None:
            return cpu.waiting_for.name
        parked = self._parked.get(cpu.id)
        if parked is not None or cpu.next_cell is None or cpu.state is State.DONE:
            return parked or ""
        return f"{cpu.next_cell.name} {cpu.next_access}"


def _may_be_interrupted(sim: Simulator) -> bool:
    """Whether the current CPU's softirq could come now. It may not be able to later: that
    interrupts go off is no step of its own.
    """
    cpu = sim.current
    return bool(sim.softirqs) and cpu.on == cpu.id and sim.softirqs[cpu.id].runnable


def _last_at_each_step(switches: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Of several switches before one step only the last counts."""
    for i, switch in enumerate(switches):
        if i + 1 == len(switches) or switches[i + 1][0] != switch[0]:
            yield switch


def digest_of(contents: SharedState) -> bytes:
    """128 bits that stand for all shared state."""
    return _digest(contents.everything())


def _digest(value: object) -> bytes:
    """128 bits of a nested tuple of numbers and strings, the same in every process."""
    # The stubs want one of marshal's own types; numbers, strings and tuples of them are some.
    return blake2b(marshal.dumps(value, 2), digest_size=16).digest()  # type: ignore[arg-type]
