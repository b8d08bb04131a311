"""Driving CPUs event by event: where each of them stops between two events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tdxfuzz.module.lock import AtomicCount, HpLock, NamedHpLock
from tdxfuzz.sim import Simulator, Variable
from tdxfuzz.targets.drive import EventOrder


def actions(order: Sequence[int], early: bool, then: Sequence[int] = (), cpus: int = 2) -> str:
    """What happened, in order: each CPU does a, E, b, E, c (E an event, the others not)."""
    sim = Simulator(cpus, EventOrder(order, early, then))
    count, plain = AtomicCount(sim, "C"), Variable(sim, "V", 0)
    done: list[str] = []

    def body(cpu: int) -> Callable[[], None]:
        def main() -> None:
            for name in "aEbEc":
                if name == "E":
                    count.xadd(1)
                else:
                    plain.read()
                done.append(f"{cpu}{name}")

        return main

    sim.run([body(cpu) for cpu in range(cpus)])
    return " ".join(done)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 1, 0, 1], "0a 1a 0E 0b 1E 1b 0E 0c 1E 1c"),
        ([0, 0, 1, 1], "0a 1a 0E 0b 0E 0c 1E 1b 1E 1c"),
        ([1, 1, 0, 0], "0a 1a 1E 1b 1E 1c 0E 0b 0E 0c"),
    ],
)
def test_early_runs_on_to_just_before_the_next_event(order: list[int], expected: str) -> None:
    assert actions(order, early=True) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 1, 0, 1], "0a 0E 1a 1E 0b 0E 1b 1E 0c 1c"),
        ([0, 0, 1, 1], "0a 0E 0b 0E 1a 1E 1b 1E 0c 1c"),
        ([1, 0, 0, 1], "1a 1E 0a 0E 0b 0E 1b 1E 0c 1c"),
    ],
)
def test_late_stops_right_behind_the_event(order: list[int], expected: str) -> None:
    assert actions(order, early=False) == expected


def test_who_goes_on_after_the_order() -> None:
    assert actions([0], early=True, then=(1, 0)) == "0a 1a 0E 0b 1E 1b 1E 1c 0E 0c"
    assert actions([0], early=True, then=(0, 1)) == "0a 1a 0E 0b 0E 0c 1E 1b 1E 1c"
    assert actions([], early=False, then=(1,)) == "1a 1E 1b 1E 1c 0a 0E 0b 0E 0c"


def test_an_order_that_names_a_cpu_too_often_goes_on_with_the_others() -> None:
    assert actions([0, 0, 0, 0, 1], early=True) == "0a 1a 0E 0b 0E 0c 1E 1b 1E 1c"


def test_three_cpus_are_driven_in_order() -> None:
    expected = "0a 1a 2a 2E 2b 0E 0b 1E 1b 0E 0c 1E 1c 2E 2c"
    assert actions([2, 0, 1, 0, 1, 2], early=True, cpus=3) == expected


@pytest.mark.parametrize("early", [True, False])
def test_an_event_of_two_instructions_is_not_cut_in_two(early: bool) -> None:
    """A failed acquire sets host priority in an instruction of its own."""
    sim = Simulator(2, EventOrder([0, 1], early))
    lock = NamedHpLock(sim, "L")
    lock.word = HpLock.HP
    results: list[bool] = []
    events: list[tuple[str, bool]] = []
    sim.log = lambda op, mode, what, ok: events.append((mode, ok))
    sim.run([lambda: results.append(lock.acquire_ex()), lambda: results.append(lock.acquire_sh())])
    assert events == [("EX", True), ("SH", False)]
    assert results == [True, False]
