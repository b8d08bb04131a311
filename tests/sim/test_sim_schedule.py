"""Schedules and faults as values: what they accept, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.sim import EMPTY, Fault, Schedule, Switch
from tdxfuzz.sim.fault import MAX_INDEX
from tdxfuzz.sim.schedule import MAX_CPU, MAX_STEP

pairs = st.lists(st.tuples(st.integers(0, MAX_STEP), st.integers(0, MAX_CPU)))


def test_switches_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending order of step: 3 follows 4"):
        Schedule((Switch(4, 0), Switch(3, 1)))


def test_two_switches_at_one_step_stay_as_they_are_given() -> None:
    assert [switch.cpu for switch in Schedule((Switch(4, 1), Switch(4, 0)))] == [1, 0]


def test_disorder_anywhere_is_refused() -> None:
    with pytest.raises(ValueError, match="5 follows 6"):
        Schedule((Switch(1, 0), Switch(6, 1), Switch(5, 0)))


def test_of_sorts_by_step() -> None:
    assert Schedule.of([(9, 0), (2, 1), (5, 2)]).switches == (
        Switch(2, 1),
        Switch(5, 2),
        Switch(9, 0),
    )


def test_of_two_pairs_with_one_step_the_last_counts() -> None:
    assert Schedule.of([(4, 2), (1, 1), (4, 0)]) == Schedule((Switch(1, 1), Switch(4, 0)))


@given(pairs)
def test_of_keeps_one_switch_a_step_in_order(pairs: list[tuple[int, int]]) -> None:
    schedule = Schedule.of(pairs)

    assert {switch.step: switch.cpu for switch in schedule} == dict(pairs)
    assert [switch.step for switch in schedule] == sorted({step for step, _ in pairs})
    assert Schedule(tuple(schedule)) == schedule


@given(pairs, pairs)
def test_schedules_are_equal_and_hash_alike_when_their_switches_are(
    some: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    assert (Schedule.of(some) == Schedule.of(others)) is (dict(some) == dict(others))
    assert hash(Schedule.of(some)) == hash(Schedule.of(dict(some).items()))


def test_the_empty_schedule_has_no_switches() -> None:
    assert len(EMPTY) == 0
    assert list(EMPTY) == []
    assert Schedule.of([]) == EMPTY


@pytest.mark.parametrize(("step", "cpu"), [(-1, 0), (0, -1), (MAX_STEP + 1, 0), (0, MAX_CPU + 1)])
def test_a_switch_out_of_bounds_is_refused(step: int, cpu: int) -> None:
    with pytest.raises(ValueError, match=r"must be [<>]="):
        Switch(step, cpu)


def test_a_switch_at_its_bounds_is_accepted() -> None:
    assert Switch(MAX_STEP, MAX_CPU) > Switch(0, 0)


@pytest.mark.parametrize("value", ["1", 1.0, None])
def test_a_switch_holds_only_integers(value: Any) -> None:
    with pytest.raises(TypeError):
        Switch(value, 0)
    with pytest.raises(TypeError):
        Switch(0, value)


def test_faults_are_ordered_by_kind_and_occasion() -> None:
    faults = [Fault("alloc", 3), Fault("zero", 0), Fault("alloc", 0)]

    assert sorted(faults) == [Fault("alloc", 0), Fault("alloc", 3), Fault("zero", 0)]


@pytest.mark.parametrize("index", [-1, MAX_INDEX + 1])
def test_a_fault_out_of_bounds_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match=r"must be [<>]="):
        Fault("alloc", index)
