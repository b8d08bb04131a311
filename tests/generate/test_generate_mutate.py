"""Mutation: always a valid case, the same for the same seed, soon one with the race."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.codec import decode, encode
from tdxfuzz.generate.mutate import cross, mutate
from tdxfuzz.run.session import SetupError, run
from tdxfuzz.strategies import cases

START = decode(b"", "hint")


@given(cases("hint"), st.integers(0, 1 << 32))
def test_a_mutant_is_a_case_with_bytes_and_follows_from_the_seed(case: Case, seed: int) -> None:
    mutant = mutate(case, Random(seed))
    assert decode(encode(mutant), "hint") == mutant
    assert mutant == mutate(case, Random(seed))


def test_mutating_on_and_on_finds_the_hint_race() -> None:
    rng = Random(1)
    case = START
    for attempt in range(2_000):
        try:
            case = mutate(case, rng)
            found = run(case).finding
        except (SetupError, ValueError):
            case = START
            continue
        if found is not None:
            assert found.check == "pamt-in-use"
            assert attempt > 0
            return
    raise AssertionError("not found in 2,000 mutants")


def test_every_kind_of_change_occurs() -> None:
    rng = Random(2)
    mutants = [mutate(START, rng) for _ in range(60)]
    assert any(mutant.world != START.world for mutant in mutants)
    assert any(mutant.schedule != START.schedule for mutant in mutants)
    assert any(
        mutant.programs != START.programs and mutant.world == START.world for mutant in mutants
    )


def test_a_guest_script_that_names_what_the_world_lacks_is_left_out_of_a_child() -> None:
    enter = Op.parse("enter 0 0 accept4k:a0")
    small = Case("merged", World(cpus=1), programs=((),))
    large = Case("merged", World(cpus=1, areas=1), programs=((enter,),))
    children = [cross(small, large, Random(seed)) for seed in range(8)]
    assert all(child.programs == ((),) for child in children)
