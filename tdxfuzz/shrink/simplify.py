"""Passes that put something simpler in place of what is there, or in a better order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.guest_script import Act, Action, number_of
from tdxfuzz.case.operation import Op
from tdxfuzz.shrink.candidate import Candidate
from tdxfuzz.shrink.edit import every_op, with_areas, with_program
from tdxfuzz.shrink.program_point import ProgramPoint
from tdxfuzz.shrink.readability import setup_order
from tdxfuzz.shrink.usual_ranges import usual_ranges

_PAGE_FOR = {"create": "map", "destroy": "zap", "convert": "zap"}
"""A simpler operation with the same effect on pairs: they come, or they go."""

_OF_KVM = {Act.ACCEPT: "map", Act.TOUCH: "map", Act.CONVERT: "convert"}
_OF_KVM_IN_AREA = {Act.ACCEPT: "map2m", Act.TOUCH: "map2m", Act.ACCEPT4K: "accept4k"}
"""The operation of KVM that a guest's action leads to."""


def exchanged_cpus(case: Case) -> Iterator[Candidate]:
    """Exchange the programs of two CPUs, because the first to act should be CPU 0."""
    for a in range(case.world.cpus):
        for b in range(a + 1, case.world.cpus):
            programs = list(case.programs)
            programs[a], programs[b] = programs[b], programs[a]
            exchanged = {a: b, b: a}
            exchanged |= {x + case.world.cpus: y + case.world.cpus for x, y in exchanged.items()}

            def cpu_now(cpu: int, exchanged: dict[int, int] = exchanged) -> int:
                return exchanged.get(cpu, cpu)

            def point_now(
                point: ProgramPoint, exchanged: dict[int, int] = exchanged
            ) -> ProgramPoint:
                return evolve(point, cpu=exchanged.get(point.cpu, point.cpu))

            smaller = evolve(case, programs=tuple(programs))
            yield Candidate(smaller, point_now, cpu_now, search_everywhere=True)


def simpler_operations(case: Case) -> Iterator[Candidate]:
    """Map a page instead of creating a TD; zap a page instead of destroying one.

    The set-up creates the TD. First all such operations are exchanged, then each alone.
    """
    places = [
        (cpu, i)
        for cpu, program in enumerate(case.programs)
        for i, op in enumerate(program)
        if op.name in _PAGE_FOR
    ]
    groups = [[place] for place in places]
    if len(places) > 1:
        groups.insert(0, places)
    for chosen in groups:
        for slot in range(case.world.slots):
            smaller, setup = case, list(case.setup)
            for cpu, i in chosen:
                program = smaller.programs[cpu]
                op = program[i]
                simpler = Op(_PAGE_FOR[op.name], (op.args[0], slot))
                needed = [Op("create", op.args[:1])]
                page = Op("map", simpler.args)
                if simpler.name == "zap" and page not in program[:i]:
                    needed.append(page)
                setup += [each for each in needed if each not in setup]
                program = (*program[:i], simpler, *program[i + 1 :])
                smaller = evolve(smaller, programs=with_program(smaller, cpu, program))
            yield Candidate(evolve(smaller, setup=tuple(setup)), search_everywhere=True)


def tds_at_rest(case: Case) -> Iterator[Candidate]:
    """A TD that does not run: what its guest did leads to the same operations of KVM."""
    for td in sorted({op.args[0] for op in case.setup if op.name == "finalize"}):
        setup = [op for op in case.setup if op not in (Op("vcpu", (td,)), Op("finalize", (td,)))]
        programs = tuple(
            tuple(other for op in program for other in _without_guest(op, td))
            for program in case.programs
        )
        smaller = evolve(case, setup=tuple(setup), programs=programs)
        yield Candidate(smaller, search_everywhere=True)


def _without_guest(op: Op, td: int) -> list[Op]:
    """What stands in place of an operation when no guest of ``td`` runs."""
    if op.name not in ("enter", "migrate") or op.args[0] != td:
        return [op]
    return [other for action in op.script if (other := _of_kvm(action, td)) is not None]


def _of_kvm(action: Action, td: int) -> Op | None:
    if action.area is not None and action.act in _OF_KVM_IN_AREA:
        return Op(_OF_KVM_IN_AREA[action.act], (td, action.area))
    if action.slot is not None and action.act in _OF_KVM:
        return Op(_OF_KVM[action.act], (td, action.slot))
    return None


def simpler_worlds(case: Case) -> Iterator[Candidate]:
    """Fewer TDs, slots, areas and ranges, and the usual ranges."""
    world = case.world
    highest = {"td": 0, "slot": 0, "area": -1}
    for op in every_op(case):
        for what, value in op.numbers:
            highest[what] = max(highest.get(what, 0), value)
    for smaller in (
        evolve(world, tds=min(world.tds, highest["td"] + 1)),
        evolve(world, slots=min(world.slots, highest["slot"] + 1)),
        with_areas(world, min(world.areas, highest["area"] + 1)),
        evolve(world, fresh_ranges=()),
        evolve(world, entries=2) if world.areas else world,
    ):
        if smaller != world:
            yield Candidate(evolve(case, world=smaller))
    for usual in usual_ranges(world):
        yield Candidate(evolve(case, world=usual), search_everywhere=True, speculative=True)


def smaller_arguments(case: Case) -> Iterator[Candidate]:
    """Exchange two TDs, slots or areas everywhere, or put one in place of the other.

    Other pages are at work then, so other orders may be needed.
    """
    for what in ("td", "slot", "area"):
        values = sorted(
            {value for op in every_op(case) for name, value in op.numbers if name == what}
        )
        for value in values:
            for other in range(value):
                for names in ({value: other, other: value}, {value: other}):
                    renamed = _renamed(case, what, names)
                    yield Candidate(renamed)
                    ordered = tuple(sorted(renamed.setup, key=setup_order))
                    yield Candidate(
                        evolve(renamed, setup=ordered), search_everywhere=True, speculative=True
                    )


def _renamed(case: Case, what: str, names: dict[int, int]) -> Case:
    """A case in which other numbers stand for its TDs, slots or areas."""

    def rename(op: Op) -> Op:
        return op.renumbered(what, names)

    return evolve(
        case,
        setup=tuple(map(rename, case.setup)),
        programs=tuple(tuple(map(rename, program)) for program in case.programs),
    )


def sorted_programs(case: Case) -> Iterator[Candidate]:
    """Exchange two operations of a program that follow each other."""
    for cpu, program in enumerate(case.programs):
        for i, (first, second) in enumerate(pairwise(program)):
            if first == second:
                continue
            exchanged = (*program[:i], second, first, *program[i + 2 :])

            def point_now(point: ProgramPoint, cpu: int = cpu, i: int = i) -> ProgramPoint:
                if point.cpu != cpu or point.op not in (i, i + 1):
                    return point
                return evolve(point, op=2 * i + 1 - point.op)

            smaller = evolve(case, programs=with_program(case, cpu, exchanged))
            yield Candidate(smaller, point_now, search_everywhere=True)


def shorter_scripts(case: Case) -> Iterator[Candidate]:
    """Leave out one action of a guest's script."""
    for cpu, program in enumerate(case.programs):
        for i, op in enumerate(program):
            script = op.script
            for at in range(len(script)):
                left = number_of(script[:at] + script[at + 1 :])
                shorter = Op(op.name, (*op.args[:2], left))
                smaller = (*program[:i], shorter, *program[i + 1 :])
                yield Candidate(
                    evolve(case, programs=with_program(case, cpu, smaller)), search_everywhere=True
                )


def zero_registers(case: Case) -> Iterator[Candidate]:
    """Set one register of a raw SEAMCALL to 0."""
    for cpu, program in enumerate(case.programs):
        for i, op in enumerate(program):
            if not op.is_seamcall:
                continue
            for at, value in enumerate(op.args):
                if value:
                    args = (*op.args[:at], 0, *op.args[at + 1 :])
                    smaller = (*program[:i], evolve(op, args=args), *program[i + 1 :])
                    yield Candidate(evolve(case, programs=with_program(case, cpu, smaller)))


def sorted_setup(case: Case) -> Iterator[Candidate]:
    """Put the set-up in the order that reads best."""
    ordered = tuple(sorted(case.setup, key=setup_order))
    if ordered != case.setup:
        yield Candidate(evolve(case, setup=ordered))
