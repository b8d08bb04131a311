"""Following a schedule: which switches apply, which do nothing, which preempt."""

from __future__ import annotations

import pytest

from sim.sim_toys import Body, Counter, World
from tdxfuzz.sim import FairLock, Outcome

TWO_EACH = [0, 0, 1, 1, 2, 2]


def three_cpus_two_steps_each(world: World) -> Outcome:
    cells = [Counter(world.sim, f"c{i}", 0) for i in range(3)]

    def body(cell: Counter) -> Body:
        def steps() -> None:
            cell.add(1)
            cell.add(1)

        return steps

    return world.run(*[body(cell) for cell in cells])


@pytest.mark.parametrize(
    ("switches", "order", "applied", "preemptions"),
    [
        ([], TWO_EACH, [], 0),
        ([(0, 0)], TWO_EACH, [], 0),
        ([(0, 2)], [2, 2, 0, 0, 1, 1], [(0, 2)], 0),
        ([(1, 0)], TWO_EACH, [], 0),
        ([(1, 1)], [0, 1, 1, 0, 2, 2], [(1, 1)], 1),
        ([(1, 2), (2, 1)], [0, 2, 1, 1, 0, 2], [(1, 2), (2, 1)], 2),
        ([(2, 1)], TWO_EACH, [], 0),
        ([(2, 2)], [0, 0, 2, 2, 1, 1], [(2, 2)], 0),
        ([(3, 0)], TWO_EACH, [], 0),
        ([(1, 3)], TWO_EACH, [], 0),
        ([(2, 63)], TWO_EACH, [], 0),
        ([(6, 0)], TWO_EACH, [], 0),
        ([(99, 1)], TWO_EACH, [], 0),
    ],
    ids=[
        "none",
        "start with the default",
        "start with another",
        "to the CPU that runs",
        "preempt",
        "preempt twice",
        "at an end, to the default",
        "at an end, to another",
        "to a CPU that is done",
        "preempt to an absent CPU",
        "at an end, to an absent CPU",
        "after the last step",
        "long after",
    ],
)
def test_a_switch_applies_where_it_changes_something(
    switches: list[tuple[int, int]],
    order: list[int],
    applied: list[tuple[int, int]],
    preemptions: int,
) -> None:
    world = World(3, switches)

    three_cpus_two_steps_each(world)

    assert world.order == order
    assert world.applied == applied
    assert world.sim.preemptions == preemptions


def test_no_ops_between_switches_that_apply_are_dropped() -> None:
    world = World(3, [(0, 0), (1, 1), (2, 1), (3, 9), (5, 0), (70, 2)])

    three_cpus_two_steps_each(world)

    assert world.applied == [(1, 1)]


def test_a_switch_to_a_blocked_cpu_does_nothing() -> None:
    world = World(2, [(1, 1), (3, 1)])
    lock = FairLock(world.sim, "lock")
    n = Counter(world.sim, "n", 0)

    def holder() -> None:
        lock.acquire()
        n.add(1)
        n.add(1)
        lock.release()

    def waiter() -> None:
        lock.acquire()
        lock.release()

    world.run(holder, waiter)

    assert world.order == [0, 1, 0, 0, 0, 1]
    assert world.applied == [(1, 1)]


def test_a_switch_where_a_cpu_blocks_chooses_who_runs_instead_and_is_no_preemption() -> None:
    world = World(3, [(1, 1), (2, 2)])
    lock = FairLock(world.sim, "lock")
    n = Counter(world.sim, "n", 0)

    def critical() -> None:
        lock.acquire()
        lock.release()

    world.run(critical, critical, lambda: n.write(1))

    assert world.order == [0, 1, 2, 0, 1]
    assert world.applied == [(1, 1), (2, 2)]
    assert world.sim.preemptions == 1


def test_a_switch_can_keep_a_retrying_cpu_from_yielding() -> None:
    def order(switches: list[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:
        world = World(2, switches)
        n = Counter(world.sim, "n", 0)

        def body() -> None:
            world.sim.retry(n)
            n.add(1)

        world.run(body, body)
        assert world.sim.preemptions == 0
        return world.order, world.applied

    assert order([]) == ([0, 1, 0, 1], [])
    assert order([(1, 0)]) == ([0, 0, 1, 1], [(1, 0)])


def test_outcome_lists_every_change_of_cpu() -> None:
    world = World(3, [(1, 2), (2, 1)])

    outcome = three_cpus_two_steps_each(world)

    assert outcome.switches == ((0, 0), (1, 2), (2, 1), (4, 0), (5, 2))
    assert outcome.steps == 6
