"""Cases are values that cannot be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tdxfuzz.case.case import MAX_OPERATIONS, Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.sim import Schedule


@pytest.mark.parametrize("text", ["create 0", "destroy 3", "map 1 7", "zap 0 0"])
def test_an_operation_reads_back_what_it_prints(text: str) -> None:
    assert str(Op.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("fly 0", "unknown operation 'fly'; known: create, destroy, map, zap"),
        ("map 0", "map takes 2 arguments (td, slot)"),
        ("create 0 1", "create takes 1 argument (td), not 2"),
        ("create 4", "td must be 0..3"),
        ("map 0 -1", "slot must be 0..7"),
        ("map 0 x", "invalid literal"),
    ],
)
def test_a_wrong_operation_says_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as caught:
        Op.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: World(cpus=0), "cpus"),
        (lambda: World(cpus=9), "cpus"),
        (lambda: World(tds=5), "tds"),
        (lambda: World(slots=0), "slots"),
        (lambda: World(guest_ranges=()), "must be one or more of 0..7"),
        (lambda: World(guest_ranges=(1, 1)), "each once"),
        (lambda: World(kernel_ranges=(1, 2), fresh_ranges=(3, 2)), r"the set-up: \[2\]"),
        (lambda: World(kernel_ranges=(8,)), "one or more of 0..7"),
    ],
)
def test_a_world_has_bounds(make: Callable[[], World], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make()


def test_ranges_are_counted_up_to_the_highest_in_use() -> None:
    assert World(guest_ranges=(0,), kernel_ranges=(3,)).ranges == 4


def test_a_case_must_fit_its_world() -> None:
    world = World(cpus=2, tds=1, slots=1)
    with pytest.raises(ValueError, match="1 programs for 2 CPUs"):
        Case("merged", world, programs=((),))
    with pytest.raises(ValueError, match="the world has only 1 tds"):
        Case("merged", world, programs=((Op("create", (1,)),), ()))
    with pytest.raises(ValueError, match="the world has only 1 slots"):
        Case("merged", world, setup=(Op("map", (0, 1)),))
    with pytest.raises(ValueError, match="switch to CPU 20, but there are 2 CPUs"):
        Case("merged", world, schedule=Schedule.of([(0, 20)]))
    with pytest.raises(ValueError, match="more than 64 operations"):
        Case("merged", world, setup=(Op("create", (0,)),) * (MAX_OPERATIONS + 1))


def test_setup_does_not_count_as_operations() -> None:
    case = Case("merged", setup=(Op("create", (0,)),), programs=((Op("map", (0, 0)),), ()))
    assert case.operations == 1
