"""Passes that guess a small program anew, so that different cases of one bug end in one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import AREA_OPERATIONS, HOST_OPERATIONS, Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.huge_programs import FEW
from tdxfuzz.shrink.candidate import Candidate
from tdxfuzz.shrink.edit import every_op, with_areas
from tdxfuzz.shrink.program_point import ProgramPoint
from tdxfuzz.shrink.readability import complexity_of, setup_order
from tdxfuzz.shrink.usual_ranges import usual_ranges
from tdxfuzz.sim import Fault

_NEEDED = {
    "map": ("create",),
    "zap": ("create", "map"),
    "convert": ("create", "map"),
    "vcpu": ("create",),
    "create": (),
    "destroy": ("create",),
    "map2m": ("create",),
    "accept4k": ("create", "map2m"),
    "zap2m": ("create", "map2m"),
    "promote": ("create", "map2m", "accept4k"),
}
"""By operation: the set-up that its TD needs, so that the operation has something to do."""

_SMALL = tuple(name for name in _NEEDED if name not in AREA_OPERATIONS)

_SINGLE = (*((name, _NEEDED[name]) for name in _SMALL), ("destroy", ("create", "map")))
"""Operations to try alone, with their set-up. A TD is also destroyed with a page in it."""

_PAIRED = tuple(name for name in _SMALL if name != "convert")
"""Operations to try beside another one: to convert a mapped page is to zap it."""

_BESIDE_AREAS = ("map", "zap", *AREA_OPERATIONS)
"""Operations to try beside one on a 2MB page."""

_ALLOCATIONS = 16
"""Of one operation, about: a fault is tried at each of them."""

_RANGES = World(guest_ranges=(0,), kernel_ranges=(1, 2))
"""As many as the cases made here need."""


def one_operation(case: Case) -> Iterator[Candidate]:
    """One operation on one CPU, in the ranges of the case or in the usual ones.

    If the case has a fault, the operation is also tried with a fault at each allocation.
    """
    if case.operations < 1 or any(op.is_seamcall for op in every_op(case)):
        return
    choices: list[tuple[Fault, ...]] = [()]
    if case.faults:
        first = case.faults[0]
        choices += [(evolve(first, index=index),) for index in range(_ALLOCATIONS)]
    singles = sorted(_SINGLE, key=lambda single: complexity_of(single[0]))
    worlds = _worlds(case, cpus=1, tds=1)
    for faults, (name, before), world in product(choices, singles, worlds):
        alone = evolve(
            case,
            world=world,
            setup=tuple(_on_td(each, 0) for each in before),
            programs=((_on_td(name, 0),),),
            faults=faults,
        )
        yield Candidate(alone, _point_gone, search_everywhere=True, speculative=True)


def two_operations(case: Case) -> Iterator[Candidate]:
    """One operation on each of two CPUs, on two TDs, in the ranges of the case or in the usual
    ones: without 2MB pages, and then, if the case has some, with them. The simplest pairs come
    first. There are many pairs, so the kernel shares ranges with the guests only where it does so
    in the case.

    Which operation is on which CPU matters, because each CPU has a list of free pages of its own.
    """
    programs = [program for program in case.programs if program]
    if len(programs) < 2 or any(op.is_seamcall for op in every_op(case)):
        return
    yield from _pairs(case, _PAIRED, _worlds(case, cpus=2, tds=2, apart=True))
    if case.world.areas:
        yield from _pairs(case, _BESIDE_AREAS, _worlds_with_areas(case))


def _pairs(case: Case, names: tuple[str, ...], worlds: tuple[World, ...]) -> Iterator[Candidate]:
    """Two of these operations in each of the worlds; where there are 2MB pages, one is about
    them.
    """
    together = sorted(
        combinations_with_replacement(names, 2), key=lambda pair: sum(map(complexity_of, pair))
    )
    for pair, mirrored, world in product(together, (False, True), worlds):
        if (mirrored and pair[0] == pair[1]) or (
            world.areas and not set(pair) & set(AREA_OPERATIONS)
        ):
            continue
        ops = [_on_td(name, td) for td, name in enumerate(pair)]
        setup = [_on_td(each, op.args[0]) for op in ops for each in _NEEDED[op.name]]
        if mirrored:
            ops.reverse()
        smaller = evolve(
            case,
            world=world,
            setup=tuple(sorted(setup, key=setup_order)),
            programs=tuple((op,) for op in ops),
            faults=(),
        )
        yield Candidate(smaller, _point_gone, search_everywhere=True, speculative=True)


def _worlds(case: Case, cpus: int, tds: int, apart: bool = False) -> tuple[World, ...]:
    """Worlds to try a small program in, each once; ``apart`` as in :func:`usual_ranges`."""
    here = evolve(with_areas(case.world, 0), cpus=cpus, tds=tds, slots=1)
    usual = evolve(
        here,
        guest_ranges=_RANGES.guest_ranges,
        kernel_ranges=_RANGES.kernel_ranges,
        fresh_ranges=(),
    )
    return tuple(dict.fromkeys((*usual_ranges(usual, apart), here)))


def _worlds_with_areas(case: Case) -> tuple[World, ...]:
    """The same for two CPUs with one 2MB page each: in memory that was used before, or not."""
    entries = min(case.world.entries, FEW)
    used = evolve(_worlds(case, cpus=2, tds=2, apart=True)[0], areas=1, entries=entries)
    return used, evolve(used, fresh_ranges=(3, 4))


def _on_td(name: str, td: int) -> Op:
    """An operation on a TD, and on its first page or area if it takes one."""
    values = {"td": td, "slot": 0, "area": 0}
    return Op(name, tuple(values[what] for what in HOST_OPERATIONS[name]))


def _point_gone(point: ProgramPoint) -> None:
    """No point of the origin is in a program made anew."""
