"""Passes that leave something out: a CPU, an operation, a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.shrink.candidate import Candidate
from tdxfuzz.shrink.edit import with_program
from tdxfuzz.shrink.program_point import ProgramPoint


def out_of_setup(case: Case) -> Iterator[Candidate]:
    """Move an operation of the set-up into a program, and leave out all that comes behind it.

    The operation that shows the bug first, with those before it, is all that is needed.
    """
    for i, op in enumerate(case.setup):
        programs = ((op,), *((),) * (case.world.cpus - 1))
        yield Candidate(
            evolve(case, setup=case.setup[:i], programs=programs, faults=()), _point_gone
        )


def without_cpus(case: Case) -> Iterator[Candidate]:
    """Leave out a CPU, with its program if it has one."""
    if case.world.cpus == 1:
        return
    world = evolve(case.world, cpus=case.world.cpus - 1)
    for gone in sorted(range(case.world.cpus), key=lambda cpu: (len(case.programs[cpu]), -cpu)):

        def cpu_now(cpu: int, gone: int = gone) -> int | None:
            softirq, at = divmod(cpu, case.world.cpus)
            return None if at == gone else at - (at > gone) + softirq * world.cpus

        def point_now(point: ProgramPoint, gone: int = gone) -> ProgramPoint | None:
            cpu = cpu_now(point.cpu, gone)
            return None if cpu is None else evolve(point, cpu=cpu)

        # A vCPU belongs to a CPU by number only; the CPU that is gone is CPU 0 from now on.
        names = {at: max(at - 1, 0) for at in range(gone or 1, case.world.cpus)}

        def renumbered(program: tuple[Op, ...], names: dict[int, int] = names) -> tuple[Op, ...]:
            return tuple(op.renumbered("cpu", names).renumbered("vcpu", names) for op in program)

        left = case.programs[:gone] + case.programs[gone + 1 :]
        smaller = evolve(
            case,
            world=world,
            setup=renumbered(case.setup),
            programs=tuple(map(renumbered, left)),
        )
        yield Candidate(smaller, point_now, cpu_now, search_everywhere=True)


def without_operations(case: Case) -> Iterator[Candidate]:
    """Leave out one operation of one program."""
    for cpu, program in enumerate(case.programs):
        for i in range(len(program)):
            programs = with_program(case, cpu, program[:i] + program[i + 1 :])
            smaller = evolve(case, programs=programs)
            yield Candidate(smaller, _without_operation(cpu, i), search_everywhere=True)


def into_setup(case: Case) -> Iterator[Candidate]:
    """Move the first operation of a program to the end of the set-up."""
    for cpu, program in enumerate(case.programs):
        if program:
            programs = with_program(case, cpu, program[1:])
            yield Candidate(
                evolve(case, programs=programs, setup=(*case.setup, program[0])),
                _without_operation(cpu, 0),
                search_everywhere=True,
            )


def without_faults(case: Case) -> Iterator[Candidate]:
    """Leave out one fault."""
    for i in range(len(case.faults)):
        faults = case.faults[:i] + case.faults[i + 1 :]
        yield Candidate(evolve(case, faults=faults), search_everywhere=True)


def without_setup(case: Case) -> Iterator[Candidate]:
    """Leave out one operation of the set-up, or two of one TD: it comes and goes again."""
    for i in range(len(case.setup)):
        setup = case.setup[:i] + case.setup[i + 1 :]
        yield Candidate(evolve(case, setup=setup), search_everywhere=True)
    for i, j in combinations(range(len(case.setup)), 2):
        first, second = case.setup[i], case.setup[j]
        if not first.is_seamcall and not second.is_seamcall and first.args[0] == second.args[0]:
            setup = case.setup[:i] + case.setup[i + 1 : j] + case.setup[j + 1 :]
            yield Candidate(evolve(case, setup=setup), search_everywhere=True)


def _point_gone(point: ProgramPoint) -> None:
    """No point of a program is left."""


def _without_operation(cpu: int, gone: int) -> Callable[[ProgramPoint], ProgramPoint | None]:
    """Where points are once operation ``gone`` of ``cpu`` is gone."""

    def point_now(point: ProgramPoint) -> ProgramPoint | None:
        if point.cpu != cpu or point.op < gone:
            return point
        return None if point.op == gone else evolve(point, op=point.op - 1)

    return point_now
