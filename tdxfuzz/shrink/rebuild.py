"""Passes that guess a small program anew, so that different cases of one bug end in one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import OPERATIONS, Op
from tdxfuzz.case.world import World
from tdxfuzz.shrink.candidate import Candidate
from tdxfuzz.shrink.edit import every_op, with_areas
from tdxfuzz.shrink.program_point import ProgramPoint
from tdxfuzz.shrink.readability import MAX_COMPLEXITY, complexity, complexity_of, setup_order
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


def one_operation(case: Case) -> Iterator[Candidate]:
    """One operation on one CPU, in the ranges of the case or in the default ones.

    If the case has a fault, the operation is also tried with a fault at each allocation.
    """
    if case.operations < 1 or any(op.is_seamcall for op in every_op(case)):
        return
    choices: list[tuple[Fault, ...]] = [()]
    if case.faults:
        kind = case.faults[0].kind
        choices += [(Fault(kind, index),) for index in range(_ALLOCATIONS)]
    here = evolve(with_areas(case.world, 0), cpus=1, tds=1, slots=1)
    default = World(cpus=1, tds=1, slots=1)
    plain = evolve(
        here,
        guest_ranges=default.guest_ranges,
        kernel_ranges=default.kernel_ranges,
        fresh_ranges=(),
    )
    singles = sorted(_SINGLE, key=lambda single: complexity_of(single[0]))
    for (name, before), world in product(singles, dict.fromkeys((here, plain))):
        alone = evolve(
            case,
            world=world,
            setup=tuple(_on_td(each, 0) for each in before),
            programs=((_on_td(name, 0),),),
        )
        for faults in choices:
            yield Candidate(evolve(alone, faults=faults), _point_gone, speculative=True)


def two_operations(case: Case) -> Iterator[Candidate]:
    """One operation on each of two CPUs, on two TDs. The simplest pairs come first."""
    programs = [program for program in case.programs if program]
    if len(programs) < 2 or any(op.is_seamcall for op in every_op(case)):
        return
    # One TD that comes or goes is the most that reads easily.
    limit = min(sum(complexity(op) for program in programs for op in program), MAX_COMPLEXITY)
    pairs = product(_NEEDED, repeat=2)
    for first, second in sorted(pairs, key=lambda pair: sum(map(complexity_of, pair))):
        ops = [_on_td(name, td) for td, name in enumerate((first, second))]
        setup = [_on_td(each, op.args[0]) for op in ops for each in _NEEDED[op.name]]
        world = evolve(with_areas(case.world, 0), cpus=2, tds=2, slots=1)
        smaller = evolve(
            case,
            world=world,
            setup=tuple(sorted(setup, key=setup_order)),
            programs=tuple((op,) for op in ops),
            faults=(),
        )
        if smaller != case:
            yield Candidate(
                smaller,
                _point_gone,
                search_everywhere=True,
                speculative=True,
                more_complex=sum(map(complexity, ops)) > limit,
            )


def _on_td(name: str, td: int) -> Op:
    """An operation on a TD, and on its first page if it takes one."""
    values = {"td": td, "slot": 0}
    return Op(name, tuple(values[what] for what in OPERATIONS[name]))


def _point_gone(point: ProgramPoint) -> None:
    """No point of the origin is in a program made anew."""
