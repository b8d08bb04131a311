"""Cases with one part exchanged: what several passes need."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import ALL_ENTRIES, World


def every_op(case: Case) -> Iterator[Op]:
    """The operations of the set-up, then those of each program."""
    yield from case.setup
    for program in case.programs:
        yield from program


def with_program(case: Case, cpu: int, program: tuple[Op, ...]) -> tuple[tuple[Op, ...], ...]:
    """The programs of a case, that of ``cpu`` exchanged."""
    return (*case.programs[:cpu], program, *case.programs[cpu + 1 :])


def with_areas(world: World, areas: int) -> World:
    """A world with so many 2MB areas. Without any, it does not matter how they would be split."""
    return evolve(world, areas=areas, entries=world.entries if areas else ALL_ENTRIES)
