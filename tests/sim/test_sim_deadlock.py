"""Deadlock: a cycle of waiting, found at once and told exactly."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.sim_toys import Body, Counter, World, interleavings
from tdxfuzz.sim import Cpu, End, FairLock, FairRwLock, Outcome


def take(*locks: FairLock) -> Body:
    """Acquire locks in order, then release them in reverse."""

    def body() -> None:
        for lock in locks:
            lock.acquire()
        for lock in reversed(locks):
            lock.release()

    return body


def ab_ba(world: World) -> Outcome:
    a, b = FairLock(world.sim, "a"), FairLock(world.sim, "b")
    return world.run(take(a, b), take(b, a))


def told(outcome: Outcome) -> list[tuple[int, str, int]]:
    """The cycle as waiting CPU, lock and the CPU in its way."""
    assert outcome.end is End.DEADLOCK
    assert outcome.deadlock is not None
    return [(cpu.id, lock.name, blocker.id) for cpu, lock, blocker in outcome.deadlock.waits]


def test_opposite_lock_orders_rest_when_run_one_after_the_other() -> None:
    outcome = ab_ba(World(2))

    assert outcome.end is End.REST
    assert outcome.deadlock is None


def test_opposite_lock_orders_deadlock_after_one_switch() -> None:
    outcome = ab_ba(World(2, [(1, 1)]))

    assert told(outcome) == [(0, "b", 1), (1, "a", 0)]
    assert str(outcome.deadlock) == "CPU 0 waits for b of CPU 1, CPU 1 waits for a of CPU 0"
    assert outcome.steps == 4


def test_exactly_these_orders_of_opposite_locks_deadlock() -> None:
    ends: dict[tuple[int, ...], End] = {}
    for order in interleavings([4, 4]):
        world = World(2, enumerate(order))
        outcome = ab_ba(world)
        ends[tuple(world.order)] = outcome.end

    deadlocks = {order for order, end in ends.items() if end is End.DEADLOCK}
    assert deadlocks == {(0, 1, 0, 1), (0, 1, 1, 0), (1, 0, 0, 1), (1, 0, 1, 0)}
    assert list(ends.values()).count(End.REST) == 10


def test_equal_lock_orders_never_deadlock() -> None:
    for order in interleavings([4, 4]):
        world = World(2, enumerate(order))
        a, b = FairLock(world.sim, "a"), FairLock(world.sim, "b")

        assert world.run(take(a, b), take(a, b)).end is End.REST


def test_a_deadlock_is_found_while_a_third_cpu_could_still_run() -> None:
    world = World(3, [(1, 1)])
    a, b = FairLock(world.sim, "a"), FairLock(world.sim, "b")
    n = Counter(world.sim, "n", 0)

    outcome = world.run(take(a, b), take(b, a), lambda: n.write(1))

    assert told(outcome) == [(0, "b", 1), (1, "a", 0)]
    assert n.value == 0


def test_a_ring_of_three_is_told_in_the_order_of_the_ring() -> None:
    world = World(3, [(1, 1), (2, 2)])
    a, b, c = (FairLock(world.sim, name) for name in "abc")

    outcome = world.run(take(a, b), take(b, c), take(c, a))

    assert told(outcome) == [(1, "c", 2), (2, "a", 0), (0, "b", 1)]
    waits = outcome.deadlock.waits if outcome.deadlock else []
    assert all(before[2] is after[0] for before, after in pairwise(waits))


def test_a_cpu_outside_the_cycle_is_not_told() -> None:
    world = World(3, [(1, 2), (2, 1), (3, 0)])
    a, b = FairLock(world.sim, "a"), FairLock(world.sim, "b")

    outcome = world.run(take(a, b), take(b, a), take(a))

    assert world.sim.waits == 2
    assert told(outcome) == [(1, "a", 0), (0, "b", 1)]


def test_taking_a_lock_twice_is_a_cycle_of_one() -> None:
    world = World(2)
    lock = FairLock(world.sim, "lock")

    assert told(world.run(take(lock, lock), lambda: None)) == [(0, "lock", 0)]


def test_upgrading_a_shared_hold_is_a_cycle_of_one() -> None:
    world = World(1)
    lock = FairRwLock(world.sim, "rw")

    def upgrade() -> None:
        lock.read_acquire()
        lock.write_acquire()

    assert told(world.run(upgrade)) == [(0, "rw", 0)]


def test_a_second_shared_hold_behind_a_writer_is_a_deadlock() -> None:
    world = World(2, [(1, 1)])
    lock = FairRwLock(world.sim, "rw")

    def read_twice() -> None:
        lock.read_acquire()
        lock.read_acquire()

    outcome = world.run(read_twice, lock.write_acquire)

    assert told(outcome)[0][:2] == (0, "rw")
    assert world.order == [0, 1, 0]


@given(
    st.lists(st.permutations(range(3)), min_size=2, max_size=3),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2))),
)
def test_under_any_schedule_the_waits_close_a_ring_of_holders(
    nested: list[list[int]], switches: list[tuple[int, int]]
) -> None:
    world = World(len(nested), switches)
    locks = [FairLock(world.sim, f"lock{i}") for i in range(3)]

    outcome = world.run(*[take(*(locks[i] for i in order)) for order in nested])

    if outcome.deadlock is None:
        assert outcome.end is End.REST
        return
    waits = outcome.deadlock.waits
    ring = [cpu for cpu, _, _ in waits]
    assert [blocker for _, _, blocker in waits] == ring[1:] + ring[:1]
    assert len(set(ring)) == len(ring) >= 2
    for cpu, lock, blocker in waits:
        assert cpu.waiting_for is lock
        assert isinstance(lock, FairLock)
        assert lock.holders() == [blocker]


@pytest.mark.parametrize("cpus", [2, 3])
def test_a_lock_that_is_never_given_back_ends_in_deadlock(cpus: int) -> None:
    world = World(cpus)
    lock = FairLock(world.sim, "lock")

    outcome = world.run(*[lock.acquire] * cpus)

    assert told(outcome) == [(1, "lock", 0), (2, "lock", 0)][: cpus - 1]


def test_a_long_queue_is_not_searched_cpu_by_cpu() -> None:
    """How often a lock is asked who stands in the way grows as the number of CPUs, not faster."""
    cpus = 60
    world = World(cpus, [(cpu, cpu) for cpu in range(1, cpus)])
    asked = 0

    class Asked(FairLock):
        __slots__ = ()

        def blockers(self, cpu: Cpu) -> list[Cpu]:
            nonlocal asked
            asked += 1
            return super().blockers(cpu)

    lock = Asked(world.sim, "lock")

    outcome = world.run(*[take(lock)] * cpus)

    assert outcome.end is End.REST
    assert world.sim.waits == cpus - 1
    assert asked <= 2 * cpus
