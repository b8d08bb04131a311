"""Long histories: ranges become empty, again and again."""

from __future__ import annotations

from random import Random

import pytest

from tdxfuzz.case.case import MAX_OPERATIONS, Case
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.codec import decode, encode
from tdxfuzz.generate.histories import RANGES, draw_history
from tdxfuzz.run.session import run


def drawn(count: int, cpus: int = 2, seed: int = 1) -> list[Case]:
    choices = RandomChoices(Random(seed))
    return [draw_history(choices, "merged", cpus) for _ in range(count)]


def test_a_seed_gives_the_same_history_each_time() -> None:
    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(5, seed=2)


@pytest.mark.parametrize("cpus", [1, 2, 3])
def test_a_set_up_never_fails_and_nothing_is_found(cpus: int) -> None:
    for case in drawn(25, cpus):
        assert run(case).finding is None


def test_every_number_of_ranges_occurs_and_none_is_the_allocators() -> None:
    worlds = [case.world for case in drawn(200)]
    assert {len(world.guest_ranges) for world in worlds} == set(RANGES[0])
    assert all(world.slots == len(world.guest_ranges) for world in worlds)
    assert not any(set(world.guest_ranges) & set(world.kernel_ranges) for world in worlds)


@pytest.mark.parametrize("cpus", [1, 2, 8])
def test_no_history_is_too_long_for_a_case(cpus: int) -> None:
    for case in drawn(300, cpus):
        assert len(case.setup) <= MAX_OPERATIONS
        assert case.operations <= MAX_OPERATIONS
        assert all(case.programs)


def most_zaps_of_a_page(case: Case) -> int:
    ops = [op for line in (case.setup, *case.programs) for op in line if op.name == "zap"]
    return max((ops.count(op) for op in ops), default=0)


def test_on_one_cpu_all_of_it_is_in_the_program() -> None:
    cases = drawn(60, cpus=1)
    assert all({op.name for op in case.setup} == {"create"} for case in cases)
    assert sum(most_zaps_of_a_page(case) > 8 for case in cases) >= 10


def test_on_two_cpus_some_of_it_happens_before_short_programs() -> None:
    cases = drawn(100)
    before = [case for case in cases if any(op.name != "create" for op in case.setup)]
    assert 30 <= len(before) <= 70
    assert all(len(program) <= 4 for case in before for program in case.programs)
    assert sum(most_zaps_of_a_page(case) > 8 for case in cases) >= 5


def test_a_history_survives_bytes() -> None:
    for case in drawn(50):
        assert decode(encode(case), "merged") == case
