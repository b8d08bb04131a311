"""Cells: what one access announces, and when it acts."""

from __future__ import annotations

import pytest

from sim.sim_toys import Counter, World
from tdxfuzz.sim import (
    EVENT,
    READ,
    RMW,
    WRITE,
    Cell,
    Simulator,
    Variable,
    access_name,
)


def test_each_access_is_one_step_of_its_kind() -> None:
    world = World(1)
    n = Counter(world.sim, "n", 5)

    def body() -> None:
        assert n.read() == 5
        n.write(7)
        assert n.add(3) == 7

    outcome = world.run(body)

    assert n.value == 10
    assert outcome.steps == 3
    assert world.steps == [(0, "n", "read"), (0, "n", "write"), (0, "n", "rmw")]


def test_nothing_happens_between_a_step_and_its_action() -> None:
    world = World(2, [(1, 1)])
    x = Variable(world.sim, "x", "old")
    seen: list[str] = []

    def writer() -> None:
        x.write("new")
        x.write("newer")

    world.run(writer, lambda: seen.append(x.read()))

    assert seen == ["new"]


def test_a_switch_before_a_store_hides_it() -> None:
    world = World(2, [(0, 1)])
    x = Variable(world.sim, "x", "old")
    seen: list[str] = []

    world.run(lambda: x.write("new"), lambda: seen.append(x.read()))

    assert seen == ["old"]
    assert x.value == "new"


def test_the_event_flag_does_not_change_the_kind_of_access() -> None:
    assert [access_name(access) for access in (READ, WRITE, RMW)] == ["read", "write", "rmw"]
    assert [access_name(access | EVENT) for access in (READ, WRITE, RMW)] == [
        "read",
        "write",
        "rmw",
    ]


def test_a_cell_must_be_named_by_its_class() -> None:
    with pytest.raises(NotImplementedError, match="Cell has no name"):
        _ = Cell(Simulator(1)).name


def test_a_new_kind_of_cell_acts_at_its_own_steps() -> None:
    class Flag(Cell):
        up = False

        @property
        def name(self) -> str:
            return "flag"

        def raise_once(self) -> bool:
            self.sim.step(self, RMW)
            was, self.up = self.up, True
            return not was

    world = World(3, [(0, 2)])
    flag = Flag(world.sim)
    won: list[int] = []

    def body() -> None:
        if flag.raise_once():
            won.append(world.sim.current.id)

    world.run(body, body, body)

    assert won == [2]


def test_before_and_after_a_run_cells_are_touched_freely() -> None:
    world = World(2)
    x = Counter(world.sim, "x", 0)
    x.add(40)

    outcome = world.run(lambda: x.write(x.read() + 1), lambda: x.write(x.read() + 1))

    assert x.read() == 42
    assert outcome.steps == 4
    assert [record.step for record in world.trace if record.kind == "step"] == [0, 1, 2, 3]
