"""Mutation: always a valid case, the same for the same seed, soon one with the race."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.case.case import MAX_OPERATIONS, Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.codec import decode, encode
from tdxfuzz.generate.mutate import cross, mutate
from tdxfuzz.run.footprint import Conflicts, Places
from tdxfuzz.run.session import SetupError, run
from tdxfuzz.strategies import cases
from tiers import slow

START = decode(b"", "hint")


class _Steady(Conflicts):
    """Knows of no conflict, so that no long case has to be run."""

    def of(self, case: Case) -> tuple[Places, ...]:
        return ()


STEADY = _Steady()


@given(st.binary(max_size=60), st.integers(0, 1 << 32))
def test_a_mutant_of_bytes_has_bytes(data: bytes, seed: int) -> None:
    try:
        mutant = mutate(decode(data, "hint"), Random(seed))
    except SetupError:
        return
    assert decode(encode(mutant), "hint") == mutant


@slow
@given(cases("hint"), st.integers(0, 1 << 32))
def test_a_mutant_follows_from_the_seed(case: Case, seed: int) -> None:
    assert mutate(case, Random(seed)) == mutate(case, Random(seed))


@st.composite
def full_cases(draw: st.DrawFn) -> Case:
    """Cases with about as many operations as there may be."""
    cpus = draw(st.integers(1, 3))
    count = draw(st.integers(MAX_OPERATIONS - 2, MAX_OPERATIONS))
    cuts = sorted(draw(st.lists(st.integers(0, count), min_size=cpus - 1, max_size=cpus - 1)))
    ops = [Op("map", (0, 0)), Op("zap", (0, 0))] * MAX_OPERATIONS
    between = pairwise((0, *cuts, count))
    programs = tuple(tuple(ops[begin:end]) for begin, end in between)
    return Case("merged", World(cpus=cpus), (), programs)


@given(full_cases(), full_cases(), st.integers(0, 1 << 32))
def test_a_mutant_and_a_child_have_room_for_all_their_operations(
    case: Case, other: Case, seed: int
) -> None:
    """In a campaign cases grow from one to the next; one that is refused ends a worker."""
    rng = Random(seed)
    child = cross(case, other, rng)
    for parent in (case, other, child):
        assert mutate(parent, rng, STEADY).operations <= MAX_OPERATIONS


def test_a_child_has_programs_of_both() -> None:
    case, other = (
        Case("merged", World(), (), ((Op(name, (0, 0)),) * 40, (Op(name, (0, 0)),) * 10))
        for name in ("map", "zap")
    )
    swapped = evolve(other, programs=other.programs[::-1])
    children = [cross(case, swapped, Random(seed)) for seed in range(40)]
    names = {tuple(program[0].name for program in child.programs) for child in children}
    assert names == {("map", "map"), ("zap", "map"), ("zap", "zap")}, "map, zap would be too long"


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
