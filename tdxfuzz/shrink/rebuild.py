"""Passes that guess a small program anew, so that different cases of one bug end in one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import OPERATIONS, Op
from tdxfuzz.case.world import World
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
}
"""By operation: the set-up that its TD needs, so that the operation has something to do."""

_SINGLE = (*_NEEDED.items(), ("destroy", ("create", "map")))
"""Operations to try alone, with their set-up. A TD is also destroyed with a page in it."""

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
    ones. The simplest pairs come first. Each CPU goes first once. There are many pairs, so the
    kernel shares ranges with the guests only where it does so in the case.
    """
    programs = [program for program in case.programs if program]
    if len(programs) < 2 or any(op.is_seamcall for op in every_op(case)):
        return
    together = sorted(
        combinations_with_replacement(_NEEDED, 2),
        key=lambda pair: sum(map(complexity_of, pair)),
    )
    worlds = _worlds(case, cpus=2, tds=2, apart=True)
    for pair, mirrored, world in product(together, (False, True), worlds):
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
        yield Candidate(
            smaller, _point_gone, search_everywhere=True, speculative=True, cpu_0_first=True
        )


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


def _on_td(name: str, td: int) -> Op:
    """An operation on a TD, and on its first page if it takes one."""
    values = {"td": td, "slot": 0}
    return Op(name, tuple(values[what] for what in OPERATIONS[name]))


def _point_gone(point: ProgramPoint) -> None:
    """No point of the origin is in a program made anew."""
