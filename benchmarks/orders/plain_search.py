"""A search that leaves nothing out: a choice of every CPU before every step.

It is what ``verify`` is compared with, so it shares as little with it as can be. Of a state it
remembers where each CPU's code is and what its variables hold, not what the CPU has observed. It
decides about cycles by the definition, one component after the other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

from attrs import define, field, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.run.observer import Observer, digest, digest_of
from tdxfuzz.run.session import Design, Session, layer_class_of
from tdxfuzz.run.worlds import Rerun
from tdxfuzz.sim import Cell, Cpu, End, Simulator, State, StopRun, Why
from tdxfuzz.sim.retry_loop import plain
from tdxfuzz.verify.progress import LoopKind

UNLIMITED = 1 << 30
END = b"end"


class Met(StopRun):
    """The run has come to a state that was explored already."""


class TooManyError(Exception):
    """There are more states than this search may have."""


@frozen
class Answer:
    """What all orders of a case come to: the digests of its states at rest, the buckets of its
    findings, the kinds of its fair cycles, and how many states there are.
    """

    finals: frozenset[bytes]
    buckets: frozenset[str]
    loops: frozenset[LoopKind]
    states: int = field(eq=False)


@define
class Graph:
    """States, with the CPUs that can run there, and each choice made: where it leads."""

    runnable: dict[bytes, frozenset[int]] = field(factory=dict)
    edges: dict[bytes, dict[int, bytes]] = field(factory=dict)

    def loops(self, contexts: int) -> Iterator[LoopKind]:
        """The kind of each component in which a fair cycle is."""
        ending = self._reaching(END)
        for component in self._components():
            steps = {
                cpu
                for state in component
                for cpu, to in self.edges[state].items()
                if to in component
            }
            idle = {
                cpu
                for state in component
                for cpu in range(contexts)
                if cpu not in self.runnable[state]
            }
            if steps and steps | idle >= set(range(contexts)):
                yield LoopKind.STARVATION if component & ending else LoopKind.TRAP

    def _components(self) -> Iterator[set[bytes]]:
        """States that reach each other: Kosaraju's algorithm, by two passes."""
        order: list[bytes] = []
        seen: set[bytes] = set()
        for root in self.edges:
            todo = [(root, False)]
            while todo:
                state, done = todo.pop()
                if done:
                    order.append(state)
                elif state not in seen and state in self.edges:
                    seen.add(state)
                    todo.append((state, True))
                    todo += [(to, False) for to in self.edges[state].values()]
        before = self._before()
        taken: set[bytes] = set()
        for root in reversed(order):
            component: set[bytes] = set()
            back = [root]
            while back:
                state = back.pop()
                if state not in taken and state not in component:
                    component.add(state)
                    back += before.get(state, ())
            taken |= component
            if component:
                yield component

    def _before(self) -> Mapping[bytes, list[bytes]]:
        before: dict[bytes, list[bytes]] = {}
        for state, edges in self.edges.items():
            for to in edges.values():
                before.setdefault(to, []).append(state)
        return before

    def _reaching(self, goal: bytes) -> set[bytes]:
        before, found, todo = self._before(), {goal}, [goal]
        while todo:
            for state in before.get(todo.pop(), ()):
                if state not in found:
                    found.add(state)
                    todo.append(state)
        return found


class PlainOrders:
    """A policy that makes the choices of a path, and then goes on with the first CPU it may.

    Every choice is written down as a path that other runs are to follow. ``met`` says that the
    run was cut off at a state that was explored already, and ``found`` how many findings there
    were then: what checks judge by its end is judged of other runs.
    """

    due = -1

    def __init__(self, session: Session, path: tuple[int, ...], search: _Search) -> None:
        self._path = path
        self._made: list[int] = []
        self._search = search
        self._granted = -1
        self._at: tuple[bytes, int] | None = None
        self.observer = Observer(session.host, session.remembered)
        self.met = False
        self.found: int | None = None
        self._findings = session.findings
        self.parked: set[int] = set()
        self._announced: set[int] = set()
        self._key = search.key_of(session, self)
        session.sim.rounds.most = UNLIMITED
        session.steer(self)

    def preempt(self, sim: Simulator) -> Cpu | None:
        cpu, cell = sim.current, sim.current.next_cell
        self._goes_on(cpu)
        self._announced.add(cpu.id)
        if self._granted != cpu.id:
            target = self._decide(sim)
            if target is not cpu:
                self._granted = target.id
                return target
        self._granted = -1
        assert isinstance(cell, Cell)
        self.observer.performs(cpu, cell, cpu.next_access)
        return None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        self.observer.stops(sim.current, why)
        self.parked.add(sim.current.id)
        self._announced.discard(sim.current.id)
        if not any(cpu.runnable for cpu in sim.cpus):
            return None
        target = self._decide(sim)
        self._goes_on(target)
        # If its next step is not announced yet, there is a choice once it is.
        self._granted = target.id if target.id in self._announced else -1
        if target is sim.current:
            sim.switches.append((sim.clock, target.id))
        return target

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        self.observer.woken(cpu)

    def _goes_on(self, cpu: Cpu) -> None:
        self.observer.goes_on(cpu)
        self.parked.discard(cpu.id)

    def _decide(self, sim: Simulator) -> Cpu:
        if len(self._made) < len(self._path):
            chosen = self._path[len(self._made)]
            if len(self._made) == len(self._path) - 1:
                self._at = self._search.source_of(self._path)
        else:
            key = self._key()
            runnable = [cpu.id for cpu in sim.cpus if cpu.runnable]
            self.arrive(key)
            self.met = not self._search.is_new(key, runnable, tuple(self._made))
            if self.met:
                self.found = len(self._findings)
                sim.stop(Met())
            chosen = runnable[0]
            self._at = key, chosen
        self._made.append(chosen)
        return sim.cpus[chosen]

    def arrive(self, key: bytes) -> None:
        """The last choice has led there."""
        if self._at is not None and len(self._made) >= len(self._path):
            self._search.graph.edges[self._at[0]][self._at[1]] = key


KeyOf = Callable[[Session, PlainOrders], Callable[[], bytes]]


class _Search:
    """What is known and left to do."""

    def __init__(self, key_of: KeyOf) -> None:
        self.key_of = key_of
        self.graph = Graph()
        self.todo: list[tuple[int, ...]] = [()]
        self._sources: dict[tuple[int, ...], bytes] = {}

    def source_of(self, path: tuple[int, ...]) -> tuple[bytes, int]:
        """The state at which the last choice of a path is made, and that choice."""
        return self._sources.pop(path), path[-1]

    def is_new(self, key: bytes, runnable: list[int], made: tuple[int, ...]) -> bool:
        """Whether a state is met for the first time; then all choices there are noted."""
        if key in self.graph.edges:
            return False
        self.graph.edges[key] = {}
        self.graph.runnable[key] = frozenset(runnable)
        for cpu in runnable[1:]:
            path = (*made, cpu)
            self._sources[path] = key
            self.todo.append(path)
        return True


def by_variables(session: Session, policy: PlainOrders) -> Callable[[], bytes]:
    """States by shared state, and each CPU's code and variables: nothing is made of what it has
    observed. For designs whose functions keep nothing but in variables, and no value waits for a
    call's result.
    """
    own = type(session.layer).topup.__code__.co_filename
    sim, observer = session.sim, policy.observer

    def key() -> bytes:
        standing = []
        for cpu in sim.cpus:
            frames: tuple[object, ...] = ()
            if cpu.state is not State.DONE:
                frames = tuple(_frames_of(cpu, sim, own))
            announced = cpu.next_cell.name if isinstance(cpu.next_cell, Cell) and frames else ""
            waits = "" if cpu.waiting_for is None else cpu.waiting_for.name
            parked = cpu.id in policy.parked
            standing.append(repr((cpu.state.value, frames, announced, waits, parked)))
        shared = observer.state.everything(memory=True), session.remembered()
        return digest((tuple(standing), shared))

    return key


def _frames_of(cpu: Cpu, sim: Simulator, own: str) -> Iterator[object]:
    """Where a CPU is in its functions, but for those of the simulator; and the variables of a
    design's.
    """
    frame: FrameType | None = sys._getframe()
    if cpu is not sim.current:
        frame = None if cpu.greenlet is None else cpu.greenlet.gr_frame
    while frame is not None:
        code = frame.f_code
        if code.co_filename == own:
            values = {name: plain(value) for name, value in sorted(frame.f_locals.items())}
            yield code.co_qualname, frame.f_lasti, str(values)
        elif f"{os.sep}host{os.sep}" in code.co_filename:
            yield code.co_qualname, frame.f_lasti
        frame = frame.f_back


def by_observations(session: Session, policy: PlainOrders) -> Callable[[], bytes]:
    """States as ``verify`` keeps them: for code that keeps more than its variables say."""
    return policy.observer.key


def search_plainly(
    case: Case, design: Design = None, key_of: KeyOf = by_variables, most: int = 20_000
) -> Answer:
    """All orders of a case, nothing left out.

    Raises:
        TooManyError: there are more states than ``most``.
    """
    search = _Search(key_of)
    rerun = Rerun(case, design)
    finals: set[bytes] = set()
    buckets: set[str] = set()
    while search.todo:
        path = search.todo.pop()
        session = rerun.ready()
        policy = PlainOrders(session, path, search)
        ended = session.run_programs()
        if ended.outcome.end is End.REST:
            finals.add(digest_of(policy.observer.state))
        if ended.findings[: policy.found]:
            buckets.add(ended.findings[0].bucket)
        if ended.outcome.end is End.BOUND or len(search.graph.edges) > most:
            raise TooManyError
        if not policy.met:
            policy.arrive(END)
    layer = layer_class_of(case, design)
    contexts = case.world.cpus * (2 if layer.frees_sept_from_rcu else 1)
    loops = frozenset(search.graph.loops(contexts))
    return Answer(frozenset(finals), frozenset(buckets), loops, len(search.graph.edges))
