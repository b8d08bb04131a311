"""lock-order: all CPUs take the host's locks in one order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from tdxfuzz.check.base import Check, kind_of
from tdxfuzz.host.kernel.hold import Hold
from tdxfuzz.host.kernel.lock import Rwlock
from tdxfuzz.sim import Declared, End

if TYPE_CHECKING:
    from tdxfuzz.check.finding import Finding
    from tdxfuzz.check.in_flight import InFlight
    from tdxfuzz.host.host import Host
    from tdxfuzz.host.kernel.held import HeldLocks
    from tdxfuzz.sim import Outcome, WaitLock


class Edge(NamedTuple):
    """A CPU wanted a lock while it held another: the first time, with step and CPU."""

    held: Hold
    wanted: Hold
    step: int
    cpu: int

    def __str__(self) -> str:
        return (
            f"CPU {self.cpu} wants {self.wanted.name} while it holds {self.held.name} "
            f"(step {self.step})"
        )


class LockOrder(Check):
    """The order in which a run takes the host's locks has a cycle, even if no CPU hung.

    As in lockdep there is an edge from each lock that a CPU holds to the lock that it wants.
    Which CPU it is, when, and under which other locks does not matter. Unlike in lockdep each
    lock stands for itself, not for its class, and one run is judged, its set-up included.

    A lock links two edges of a cycle if the CPU that wants it may have to wait for the CPU that
    holds it. If one of the two is a writer, it must wait. If both are readers, the second waits
    only behind a writer that came between them, because the kernel's queued rwlocks are fair.
    So two readers count if the run also takes that lock for writing.

    It is reported last, because a CPU that hangs in such a cycle (``deadlock``) shows more.
    """

    # Both follow from the ways in which locks were taken, which HeldLocks remembers.
    STATE: ClassVar = Declared(derived="_after _cyclic")

    id = "lock-order"
    source = "kernel/locking/lockdep.c; the AB-BA case of per-range locks, 2025-09-28"
    witness = "a CPU wanted a lock while it held another"

    def __init__(self, host: Host, in_flight: InFlight, findings: list[Finding]) -> None:
        super().__init__(host, in_flight, findings)
        self._after: dict[WaitLock, set[WaitLock]] = {}
        self._cyclic = False

    def lock_wanted(self, wanted: Hold, under: Hold) -> None:
        # The lock taken last is enough to see that there is a cycle, because the locks held
        # before it lead to it. The modes of its locks are judged only then, at the end.
        lock, before = wanted.lock, under.lock
        self._after.setdefault(before, set()).add(lock)
        if lock in self._after and not self._cyclic:
            self._cyclic = self._leads(lock, before)

    def stopped(self, outcome: Outcome) -> None:
        self.seen = bool(self._after)
        if outcome.end is not End.REST:
            self._judge()

    def at_rest(self, outcome: Outcome) -> None:
        self._judge()

    def _leads(self, lock: WaitLock, back: WaitLock) -> bool:
        todo, reached = [lock], {lock}
        while todo:
            at = todo.pop()
            if at is back:
                return True
            fresh = self._after.get(at, set()) - reached
            reached |= fresh
            todo += fresh
        return False

    def _judge(self) -> None:
        cycle = shortest_cycle(edges_of(self.host.held_locks)) if self._cyclic else []
        if not cycle:
            return
        last = max(cycle, key=lambda edge: edge.step)
        self.report(
            "; ".join(map(str, cycle)),
            objects=" ".join(sorted({kind_of(edge.wanted.name) for edge in cycle})),
            step=last.step,
            cpu=last.cpu,
        )


def edges_of(held_locks: HeldLocks) -> list[Edge]:
    """Every edge once, in the order of its first occurrence."""
    edges: dict[tuple[Hold, Hold], Edge] = {}
    for outer, wanted, step, cpu in held_locks.nestings():
        for held in outer:
            edges.setdefault((held, wanted), Edge(held, wanted, step, cpu))
    return list(edges.values())


def shortest_cycle(edges: list[Edge]) -> list[Edge]:
    """A shortest cycle in which each lock links two edges; empty if there is none."""
    cycles = [cycle for edge in edges if (cycle := _around(edge, edges))]
    return min(cycles, key=len, default=[])


def _around(start: Edge, edges: list[Edge]) -> list[Edge]:
    """A shortest cycle through ``start``."""
    came_from: dict[Edge, Edge] = {}
    todo = deque([start])
    while todo:
        at = todo.popleft()
        for following in edges:
            if not _links(at, following):
                continue
            if following == start:
                path = [at]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if following not in came_from:
                came_from[following] = at
                todo.append(following)
    return []


def _links(edge: Edge, following: Edge) -> bool:
    """Whether the CPU that wants the lock at the end of ``edge`` may wait for its holder in
    ``following``.
    """
    wanted, held = edge.wanted, following.held
    if wanted.lock is not held.lock:
        return False
    lock = wanted.lock
    return wanted.exclusive or held.exclusive or (isinstance(lock, Rwlock) and lock.written)
