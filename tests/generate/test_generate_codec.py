"""Bytes and cases: every byte string is a case, every case has bytes."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import KINDS
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.operation import MAX_SLOTS, MAX_TDS, OPERATIONS, Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.byte_format import Reader, read_world
from tdxfuzz.generate.codec import decode, encode
from tdxfuzz.generate.hostile_calls import hostile_case
from tdxfuzz.module.variants import VARIANTS
from tdxfuzz.sim import Fault, Schedule, Switch
from tdxfuzz.sim.schedule import MAX_STEP
from tdxfuzz.strategies import operations, seamcalls, setups, worlds

byte_strings = st.binary(max_size=64) | st.binary(max_size=64).map(lambda data: b"\xff" + data)
"""At random, and some in which world and set-up are spelled out."""


@st.composite
def any_case(draw: st.DrawFn) -> Case:
    world = draw(st.integers(1, 8).flatmap(worlds))
    world = evolve(world, module_variant=draw(st.sampled_from(list(VARIANTS))))
    written = operations(world).filter(lambda op: op.name in OPERATIONS)
    program = st.lists(written, max_size=5).map(tuple)
    steps = st.integers(0, 1 << 20)
    switches = st.lists(st.tuples(steps, st.integers(0, world.cpus - 1)), max_size=6)
    kinds = st.sampled_from(KINDS)
    faults = st.lists(st.builds(Fault, kinds, st.integers(0, 500)), max_size=3)
    return Case(
        design="merged",
        world=world,
        setup=draw(program),
        programs=tuple(draw(program) for _ in range(world.cpus)),
        schedule=Schedule.of(draw(switches)),
        faults=tuple(draw(faults)),
        steps=draw(st.sampled_from((1, 20_000, 10_000_000))),
    )


@given(byte_strings)
def test_every_byte_string_is_a_case(data: bytes) -> None:
    case = decode(data, "hint")
    assert case.design == "hint"


@given(any_case())
def test_a_case_survives_the_way_to_bytes_and_back(case: Case) -> None:
    assert decode(encode(case), case.design) == case


@given(byte_strings)
def test_a_decoded_case_has_bytes_that_mean_the_same(data: bytes) -> None:
    case = decode(data, "merged")
    assert decode(encode(case), "merged") == case


def test_fresh_memory_is_none_that_the_set_up_used() -> None:
    guest, kernel, fresh = (0, 0), (1, 1, 1), (1, 1, 2, 2)
    areas, of_entries = 1, 0
    world = read_world(Reader(bytes((1, 1, 0, *guest, *kernel, 2, areas, of_entries, *fresh))))
    assert (world.kernel_ranges, world.fresh_ranges) == ((1, 2), (3,))


def test_no_bytes_are_a_case_too() -> None:
    assert decode(b"", "merged") == decode(bytes(40), "merged")


def test_the_largest_world_fits() -> None:
    world = World(8, MAX_TDS, MAX_SLOTS, tuple(range(8)), tuple(reversed(range(8))), False)
    programs = (tuple(Op("zap", (3, 7)) for _ in range(64)), *((),) * 7)
    schedule = Schedule((Switch(MAX_STEP, 7),))
    case = Case("merged", world, programs=programs, schedule=schedule)
    assert decode(encode(case), "merged") == case


def test_few_bytes_suffice_for_the_race_of_the_hint_design() -> None:
    world = World(2, 2, 1, (0,), (1, 2))
    setup = tuple(map(Op.parse, ("create 0", "create 1", "map 0 0")))
    programs = ((Op.parse("map 1 0"),), (Op.parse("zap 0 0"),))
    case = Case("hint", world, setup, programs, Schedule.of([(130, 1)]))
    assert len(encode(case)) <= 9


@st.composite
def any_hostile_case(draw: st.DrawFn) -> Case:
    name = draw(setups())
    cpus = draw(st.integers(1, 8))
    program = st.lists(seamcalls(name), max_size=3).map(tuple)
    case = hostile_case(name, cpus, tuple(draw(program) for _ in range(cpus)))
    if draw(st.booleans()):
        case = evolve(case, world=evolve(case.world, slots=3), setup=case.setup[:1])
    switches = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, cpus - 1)), max_size=4)
    return case.with_schedule(Schedule.of(draw(switches)))


@given(byte_strings)
def test_every_byte_string_is_a_hostile_case(data: bytes) -> None:
    case = decode(data, HOSTILE)
    assert decode(encode(case), HOSTILE) == case


@given(any_hostile_case())
def test_a_hostile_case_survives_the_way_to_bytes_and_back(case: Case) -> None:
    assert decode(encode(case), HOSTILE) == case


def test_few_bytes_suffice_for_two_calls_that_succeed() -> None:
    case = decode(bytes((5, 0, 1, 3, 1, 40)), HOSTILE)
    assert [len(program) for program in case.programs] == [1, 1]
    assert len(encode(case)) == 6


def test_what_has_no_bytes_is_refused() -> None:
    case = hostile_case("td", 2, ((), ()))
    with pytest.raises(ValueError, match="with faults or a bound on steps has no bytes"):
        encode(evolve(case, faults=(Fault("alloc", 1),)))
    with pytest.raises(ValueError, match="map 0 0: a hostile program calls the module itself"):
        encode(evolve(case, programs=((Op("map", (0, 0)),), ())))
    with pytest.raises(ValueError, match="BIND is not modelled"):
        encode(evolve(case, programs=((Op.parse("TDH.SERVTD.BIND"),), ())))
    raw = Case("merged", World(), (), ((Op.parse("TDH.PHYMEM.PAGE.RDMD"),), ()))
    with pytest.raises(ValueError, match="RDMD rcx=0x0: programs of a design are host operations"):
        encode(raw)
    comes_back = Schedule((Switch(3, 1),), loop=(1, 3))
    for looping in (hostile_case("td", 2, ((), ())), Case("merged", World())):
        with pytest.raises(ValueError, match="a loop cannot be written"):
            encode(looping.with_schedule(comes_back))
