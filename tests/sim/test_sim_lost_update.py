"""The classic: two CPUs add one to a variable, and one addition gets lost."""

from __future__ import annotations

from collections import Counter as Tally

import pytest

from sim.sim_toys import Counter, World, interleavings
from tdxfuzz.sim import End, Variable


def two_halves(world: World, times: int = 1) -> Variable[int]:
    """Every CPU loads ``x``, adds one and stores it back: two steps."""
    x = Variable(world.sim, "x", 0)

    def increment() -> None:
        for _ in range(times):
            x.write(x.read() + 1)

    outcome = world.run(*[increment] * len(world.sim.cpus))
    assert outcome.end is End.REST
    return x


def test_one_after_the_other_nothing_is_lost() -> None:
    world = World(2)

    assert two_halves(world).value == 2
    assert world.order == [0, 0, 1, 1]


def test_one_switch_between_load_and_store_loses_an_update() -> None:
    world = World(2, [(1, 1)])

    assert two_halves(world).value == 1
    assert world.order == [0, 1, 1, 0]


def test_exactly_one_of_all_single_switches_loses_an_update() -> None:
    losing = [
        (step, cpu)
        for step in range(5)
        for cpu in range(3)
        if two_halves(World(2, [(step, cpu)])).value == 1
    ]

    assert losing == [(1, 1)]


def test_single_switches_into_three_rounds_lose_where_they_split_a_pair() -> None:
    values = {step: two_halves(World(2, [(step, 1)]), times=3).value for step in range(6)}

    assert values == {0: 6, 1: 3, 2: 6, 3: 3, 4: 6, 5: 3}


@pytest.mark.parametrize(
    ("cpus", "values"),
    [(2, {1: 4, 2: 2}), (3, {1: 48, 2: 36, 3: 6})],
    ids=["2 CPUs, 6 orders", "3 CPUs, 90 orders"],
)
def test_every_interleaving_is_reached_and_serial_ones_alone_lose_nothing(
    cpus: int, values: dict[int, int]
) -> None:
    seen = Tally[int]()
    for order in interleavings([2] * cpus):
        world = World(cpus, enumerate(order))
        seen[two_halves(world).value] += 1
        assert tuple(world.order) == order

    assert seen == values


def test_an_atomic_counter_loses_nothing_in_any_interleaving() -> None:
    orders = list(interleavings([2, 2, 2]))
    assert len(orders) == 90

    for order in orders:
        world = World(3, enumerate(order))
        counter = Counter(world.sim, "n", 0)
        before: list[int] = []

        def increment(counter: Counter = counter, before: list[int] = before) -> None:
            before.append(counter.add(1))
            before.append(counter.add(1))

        world.run(*[increment] * 3)

        assert counter.value == 6
        assert sorted(before) == [0, 1, 2, 3, 4, 5]
