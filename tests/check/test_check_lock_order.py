"""lock-order: a cycle of locks is told from runs in which nobody hung."""

from __future__ import annotations

from broken_designs import LocksBothWays
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.check.lock_order import Edge, edges_of, shortest_cycle
from tdxfuzz.host.design import PageCache, RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.kernel.held import HeldLocks
from tdxfuzz.host.kernel.hold import Hold
from tdxfuzz.host.kernel.lock import ReadSide, Rwlock, Spinlock
from tdxfuzz.run.session import run
from tdxfuzz.sim import Simulator

LIFE = Case(
    "Broken",
    World(cpus=1, tds=1, slots=1),
    (),
    (tuple(map(Op.parse, ("create 0", "map 0 0", "zap 0 0", "destroy 0"))),),
)


class ReadsBothWays(Merged):
    """Takes two rwlocks in both orders, to read; ``writes`` says whether also to write."""

    writes = False

    def setup(self) -> None:
        super().setup()
        self.a = self.rwlock("a0")
        self.b = self.rwlock("b0")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        with self.a.read(), self.b.read():
            pass
        if self.writes:
            with self.a.write():
                pass
            with self.b.write():
                pass
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        with self.b.read(), self.a.read():
            pass
        super().put(pfn)


class ReadsBothWaysAndWrites(ReadsBothWays):
    """With writers readers may have to wait for each other."""

    writes = True


def spinlocks() -> tuple[Hold, Hold, Hold]:
    sim = Simulator(1)
    held = HeldLocks(sim, 1)
    return Spinlock(sim, "a", held), Spinlock(sim, "b", held), Spinlock(sim, "c", held)


def buckets(layer: type[RefcountLayer]) -> set[str]:
    return {finding.bucket for finding in run(LIFE, layer).findings}


def test_two_orders_on_one_cpu_are_a_cycle() -> None:
    result = run(LIFE, LocksBothWays)
    assert [finding.bucket for finding in result.findings] == ["lock-order/-/-/a b"]
    message = result.findings[0].message
    assert "wants b0 while it holds a0" in message
    assert "wants a0 while it holds b0" in message


def test_one_order_is_none() -> None:
    result = run(LIFE, Merged)
    assert result.findings == ()
    assert "lock-order" in result.seen


def test_readers_wait_for_readers_only_behind_a_writer() -> None:
    assert buckets(ReadsBothWays) == set()
    assert buckets(ReadsBothWaysAndWrites) == {"lock-order/-/-/a b"}


def test_the_shortest_cycle_is_told() -> None:
    a, b, c = spinlocks()
    ab, bc, ca, ba = (
        Edge(held, wanted, step, 0)
        for step, (held, wanted) in enumerate(((a, b), (b, c), (c, a), (b, a)))
    )
    assert shortest_cycle([ab, bc]) == []
    assert set(shortest_cycle([ab, bc, ca])) == {ab, bc, ca}
    assert set(shortest_cycle([ab, bc, ca, ba])) == {ab, ba}


def test_every_lock_held_is_an_edge_to_the_one_wanted() -> None:
    held = HeldLocks(Simulator(1), 1)
    a, b, c = spinlocks()
    held.nested[a, b] = 3, 0
    held.nested[a, b, c] = 4, 0
    assert edges_of(held) == [Edge(a, b, 3, 0), Edge(a, c, 4, 0), Edge(b, c, 4, 0)]


def test_only_an_rwlock_that_is_written_links_readers() -> None:
    sim = Simulator(1)
    held = HeldLocks(sim, 1)
    lock, other = Rwlock(sim, "a", held), Rwlock(sim, "b", held)
    reading, reading_other = ReadSide(lock), ReadSide(other)
    edges = [Edge(reading, reading_other, 0, 0), Edge(reading_other, reading, 1, 0)]
    assert shortest_cycle(edges) == []
    lock.written = other.written = True
    assert set(shortest_cycle(edges)) == set(edges)
