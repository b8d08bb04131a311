"""The exclusive lock: first come, first served."""

from __future__ import annotations

import pytest

from sim.sim_toys import Body, Counter, World, interleavings
from tdxfuzz.sim import READ, End, FairLock, HarnessError, Simulator, Variable


def test_waiters_get_the_lock_in_the_order_in_which_they_came() -> None:
    world = World(4, [(1, 2), (2, 3), (3, 1)])
    lock = FairLock(world.sim, "lock")
    entered: list[int] = []

    def body() -> None:
        with lock:
            entered.append(world.sim.current.id)

    outcome = world.run(body, body, body, body)

    assert entered == [0, 2, 3, 1]
    assert outcome.end is End.REST
    assert world.sim.waits == 3


def test_a_release_hands_over_so_that_the_releaser_cannot_take_it_again_first() -> None:
    world = World(2, [(1, 1)])
    lock = FairLock(world.sim, "lock")
    entered: list[int] = []

    def greedy() -> None:
        for _ in range(2):
            with lock:
                entered.append(world.sim.current.id)

    world.run(greedy, greedy)

    assert entered == [0, 1, 0, 1]


def test_a_woken_cpu_waits_for_its_turn() -> None:
    world = World(2, [(1, 1)])
    lock = FairLock(world.sim, "lock")
    n = Counter(world.sim, "n", 0)

    def first() -> None:
        with lock:
            pass
        n.add(1)

    def second() -> None:
        with lock:
            pass

    world.run(first, second)

    assert world.steps == [
        (0, "lock", "rmw"),
        (1, "lock", "rmw"),
        (0, "lock", "rmw"),
        (0, "n", "rmw"),
        (1, "lock", "rmw"),
    ]


def test_owner_and_holders_follow_the_lock() -> None:
    world = World(2, [(1, 1)])
    lock = FairLock(world.sim, "lock")
    cpus = world.sim.cpus
    seen: list[tuple[object, ...]] = []

    def look() -> None:
        seen.append((lock.owner, *lock.holders(), *(cpu for cpu, _ in lock.queue)))

    def body() -> None:
        lock.acquire()
        look()
        lock.release()
        look()

    world.run(body, body)

    assert seen == [
        (cpus[0], cpus[0]),
        (cpus[1], cpus[1]),
        (cpus[1], cpus[1]),
        (None,),
    ]
    assert lock.holders() == []


def test_in_the_way_are_the_holder_and_those_ahead_in_the_queue() -> None:
    world = World(4, [(1, 2), (2, 3), (3, 1)])
    lock = FairLock(world.sim, "lock")
    blockers: list[list[int]] = []

    def body() -> None:
        lock.acquire()
        if not blockers:
            world.sim.step(lock, READ)
            blockers.extend([[at.id for at in lock.blockers(cpu)] for cpu, _ in lock.queue])
        lock.release()

    world.run(body, body, body, body)

    assert blockers == [[0], [0, 2], [0, 2, 3]]


def guarded_increments(world: World) -> Variable[int]:
    lock = FairLock(world.sim, "lock")
    x = Variable(world.sim, "x", 0)

    def body() -> None:
        with lock:
            x.write(x.read() + 1)

    outcome = world.run(*[body] * len(world.sim.cpus))
    assert outcome.end is End.REST
    return x


def test_under_the_lock_no_interleaving_loses_an_update() -> None:
    runs = set()
    for order in interleavings([4, 4]):
        world = World(2, enumerate(order))
        assert guarded_increments(world).value == 2
        runs.add(tuple(world.order))

    assert len(runs) == 8


@pytest.mark.parametrize("owner", [None, 1])
def test_releasing_a_lock_not_held_is_a_harness_error(owner: int | None) -> None:
    world = World(2)
    lock = FairLock(world.sim, "lock")
    lock.owner = None if owner is None else world.sim.cpus[owner]

    with pytest.raises(HarnessError, match="CPU 0 releases lock, which it does not hold"):
        world.run(lock.release, lambda: None)


def test_a_lock_can_be_taken_and_given_back_while_nothing_runs() -> None:
    lock = FairLock(Simulator(1), "lock")

    with lock:
        assert [cpu.id for cpu in lock.holders()] == [0]
    assert lock.holders() == []


def test_waiting_while_nothing_runs_is_a_harness_error() -> None:
    world = World(2)
    lock = FairLock(world.sim, "lock")
    bodies: list[Body] = [lock.acquire, lambda: None]
    world.run(*bodies)

    with pytest.raises(HarnessError, match="taken twice, or was never released"):
        lock.acquire()
