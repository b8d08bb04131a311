"""Smaller cases to try: the biggest steps first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

from attrs import evolve, field, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import OPERATIONS, Op
from tdxfuzz.case.world import ALL_ENTRIES, World
from tdxfuzz.shrink.program_point import ProgramPoint
from tdxfuzz.sim import Fault


def _same_place(place: ProgramPoint) -> ProgramPoint | None:
    return place


def _same_cpu(cpu: int) -> int | None:
    return cpu


@frozen
class Candidate:
    """A case without a schedule that is smaller than another one.

    ``move`` and ``cpu`` say where a place and a CPU of the other are in this one (None:
    gone). ``thorough``: worth searching all schedules for, as an operation or a fault went.
    ``speculative``: nothing says that it shows the bug, so only little is tried. ``heavy``: it asks
    so much of a reader that it is tried only where a preemption might go.
    """

    case: Case
    move: Callable[[ProgramPoint], ProgramPoint | None] = field(default=_same_place)
    cpu: Callable[[int], int | None] = field(default=_same_cpu)
    thorough: bool = False
    speculative: bool = False
    heavy: bool = False


def _without_cpus(case: Case) -> Iterator[Candidate]:
    """Leave out a CPU, with its program if it has one."""
    if case.world.cpus == 1:
        return
    world = evolve(case.world, cpus=case.world.cpus - 1)
    for gone in sorted(range(case.world.cpus), key=lambda cpu: (len(case.programs[cpu]), -cpu)):

        def cpu_now(cpu: int, gone: int = gone) -> int | None:
            softirq, at = divmod(cpu, case.world.cpus)
            return None if at == gone else at - (at > gone) + softirq * world.cpus

        def moved(place: ProgramPoint, gone: int = gone) -> ProgramPoint | None:
            cpu = cpu_now(place.cpu, gone)
            return None if cpu is None else evolve(place, cpu=cpu)

        programs = case.programs[:gone] + case.programs[gone + 1 :]
        yield Candidate(evolve(case, world=world, programs=programs), moved, cpu_now, thorough=True)


def _other_cpus(case: Case) -> Iterator[Candidate]:
    """Exchange the programs of two CPUs: whoever goes first should come first."""
    for a in range(case.world.cpus):
        for b in range(a + 1, case.world.cpus):
            programs = list(case.programs)
            programs[a], programs[b] = programs[b], programs[a]
            exchanged = {a: b, b: a}
            exchanged |= {x + case.world.cpus: y + case.world.cpus for x, y in exchanged.items()}

            def cpu_now(cpu: int, exchanged: dict[int, int] = exchanged) -> int:
                return exchanged.get(cpu, cpu)

            def moved(place: ProgramPoint, exchanged: dict[int, int] = exchanged) -> ProgramPoint:
                return evolve(place, cpu=exchanged.get(place.cpu, place.cpu))

            yield Candidate(evolve(case, programs=tuple(programs)), moved, cpu_now, thorough=True)


def _without_operations(case: Case) -> Iterator[Candidate]:
    """Leave out one operation of one program."""
    for cpu, program in enumerate(case.programs):
        for i in range(len(program)):
            programs = _with_program(case, cpu, program[:i] + program[i + 1 :])
            yield Candidate(evolve(case, programs=programs), _shifted(cpu, i), thorough=True)


def _into_setup(case: Case) -> Iterator[Candidate]:
    """Do the first operation of a program beforehand."""
    for cpu, program in enumerate(case.programs):
        if program:
            programs = _with_program(case, cpu, program[1:])
            yield Candidate(
                evolve(case, programs=programs, setup=(*case.setup, program[0])),
                _shifted(cpu, 0),
                thorough=True,
            )


def _with_program(case: Case, cpu: int, program: tuple[Op, ...]) -> tuple[tuple[Op, ...], ...]:
    return (*case.programs[:cpu], program, *case.programs[cpu + 1 :])


def _shifted(cpu: int, gone: int) -> Callable[[ProgramPoint], ProgramPoint | None]:
    """Where places are once operation ``gone`` of ``cpu`` is gone."""

    def move(place: ProgramPoint) -> ProgramPoint | None:
        if place.cpu != cpu or place.op < gone:
            return place
        return None if place.op == gone else evolve(place, op=place.op - 1)

    return move


def _without_faults(case: Case) -> Iterator[Candidate]:
    """Leave out one fault."""
    for i in range(len(case.faults)):
        faults = case.faults[:i] + case.faults[i + 1 :]
        yield Candidate(evolve(case, faults=faults), thorough=True)


def _without_setup(case: Case) -> Iterator[Candidate]:
    """Leave out one operation of the set-up."""
    for i in range(len(case.setup)):
        yield Candidate(evolve(case, setup=case.setup[:i] + case.setup[i + 1 :]), thorough=True)


def setup_order(op: Op) -> tuple[int, tuple[int, ...]]:
    """The order in which a set-up reads best: VMs first, then what is done to them."""
    if op.is_seamcall:
        return len(OPERATIONS), ()
    return list(OPERATIONS).index(op.name), op.args


def _sorted_setup(case: Case) -> Iterator[Candidate]:
    """The same set-up in the order that reads best."""
    ordered = tuple(sorted(case.setup, key=setup_order))
    if ordered != case.setup:
        yield Candidate(evolve(case, setup=ordered))


def _simpler_worlds(case: Case) -> Iterator[Candidate]:
    """Fewer TDs, slots, areas and ranges."""
    world = case.world
    most = {"td": 0, "slot": 0, "area": -1}
    for op in _every_op(case):
        for what, value in op.arguments:
            most[what] = max(most.get(what, 0), value)
    for smaller in (
        evolve(world, tds=min(world.tds, most["td"] + 1)),
        evolve(world, slots=min(world.slots, most["slot"] + 1)),
        _with_areas(world, min(world.areas, most["area"] + 1)),
        evolve(world, fresh_ranges=()),
        evolve(world, entries=2) if world.areas else world,
        evolve(world, guest_ranges=world.guest_ranges[:1]),
        evolve(world, kernel_ranges=world.kernel_ranges[-1:]),
    ):
        if smaller != world:
            yield Candidate(evolve(case, world=smaller))


def _with_areas(world: World, areas: int) -> World:
    """Without any, it does not matter into how many pages they would be split."""
    return evolve(world, areas=areas, entries=world.entries if areas else ALL_ENTRIES)


def _smaller_arguments(case: Case) -> Iterator[Candidate]:
    """Exchange two TDs, slots or areas everywhere, or put one in place of the other."""
    for what in ("td", "slot", "area"):
        values = sorted(
            {value for op in _every_op(case) for name, value in op.arguments if name == what}
        )
        for value in values:
            for other in range(value):
                yield Candidate(_renamed(case, what, {value: other, other: value}))
                yield Candidate(_renamed(case, what, {value: other}))


def _renamed(case: Case, what: str, names: dict[int, int]) -> Case:
    def rename(op: Op) -> Op:
        return Op(
            op.name,
            tuple(
                names.get(value, value) if name == what else value for name, value in op.arguments
            ),
        )

    return evolve(
        case,
        setup=tuple(map(rename, case.setup)),
        programs=tuple(tuple(map(rename, program)) for program in case.programs),
    )


_EFFORT = {
    "convert": 1,
    "map2m": 1,
    "zap2m": 1,
    "accept4k": 2,
    "promote": 2,
    "vcpu": 2,
    "create": 3,
    "destroy": 3,
}

_PAGE_FOR = {"create": "map", "destroy": "zap", "convert": "zap"}
"""What does less in the same direction: pairs come, or go."""


def effort(op: Op) -> int:
    """How much a reader has to take in: little of a page that comes or goes, most of a TD."""
    return effort_of(op.name)


def effort_of(name: str) -> int:
    """As :func:`effort`, of an operation's name."""
    return _EFFORT.get(name, 0)


def _simpler_operations(case: Case) -> Iterator[Candidate]:
    """A page that is mapped in place of a TD that is created, one that is zapped in place of
    one that is destroyed; the TD is there beforehand. All at once, or one of them.
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
                smaller = evolve(smaller, programs=_with_program(smaller, cpu, program))
            yield Candidate(evolve(smaller, setup=tuple(setup)), thorough=True)


_FIRST = {
    "map": ("create",),
    "zap": ("create", "map"),
    "convert": ("create", "map"),
    "vcpu": ("create",),
    "create": (),
    "destroy": ("create",),
}
"""What a TD needs beforehand, so that an operation on it has something to do."""

_SINGLE = (*_FIRST.items(), ("destroy", ("create", "map")))
"""Operations to be tried alone, with what comes before them: a TD that goes takes pages with it."""


MOST_EFFORT = 3
"""That of one TD that comes or goes: two of them are heavy reading."""


def _smallest_programs(case: Case) -> Iterator[Candidate]:
    """Two CPUs, one operation each, each on a TD of its own, that ask no more of a reader (or
    they are heavy): so different cases of one bug end in one.
    """
    programs = [program for program in case.programs if program]
    if len(programs) < 2 or any(op.is_seamcall for op in _every_op(case)):
        return
    most = min(sum(effort(op) for program in programs for op in program), MOST_EFFORT)
    pairs = product(_FIRST, repeat=2)
    for first, second in sorted(pairs, key=lambda pair: sum(map(effort_of, pair))):
        heavy = effort_of(first) + effort_of(second) > most
        ops = [_on_td(name, td) for td, name in enumerate((first, second))]
        setup = [_on_td(each, op.args[0]) for op in ops for each in _FIRST[op.name]]
        world = evolve(_with_areas(case.world, 0), cpus=2, tds=2, slots=1)
        smaller = evolve(
            case,
            world=world,
            setup=tuple(sorted(setup, key=setup_order)),
            programs=tuple((op,) for op in ops),
            faults=(),
        )
        if smaller != case:
            yield Candidate(smaller, _nowhere, thorough=True, speculative=True, heavy=heavy)


LATEST_FAULT = 16
"""Allocations of one operation, about."""


def _single_operations(case: Case) -> Iterator[Candidate]:
    """One operation on one CPU, in these ranges or in the plainest; if the case has a fault, at
    any of its allocations.
    """
    if case.operations < 1 or any(op.is_seamcall for op in _every_op(case)):
        return
    choices: list[tuple[Fault, ...]] = [()]
    if case.faults:
        kind = case.faults[0].kind
        choices += [(Fault(kind, index),) for index in range(LATEST_FAULT)]
    here = evolve(_with_areas(case.world, 0), cpus=1, tds=1, slots=1)
    plain = World(cpus=1, tds=1, slots=1)
    plainest = evolve(
        here, guest_ranges=plain.guest_ranges, kernel_ranges=plain.kernel_ranges, fresh_ranges=()
    )
    singles = sorted(_SINGLE, key=lambda single: effort_of(single[0]))
    for (name, before), world in product(singles, dict.fromkeys((here, plainest))):
        alone = evolve(
            case,
            world=world,
            setup=tuple(_on_td(each, 0) for each in before),
            programs=((_on_td(name, 0),),),
        )
        for faults in choices:
            yield Candidate(evolve(alone, faults=faults), _nowhere, speculative=True)


def _nowhere(place: ProgramPoint) -> None:
    return None


def _on_td(name: str, td: int) -> Op:
    values = {"td": td, "slot": 0}
    return Op(name, tuple(values[what] for what in OPERATIONS[name]))


def _zero_registers(case: Case) -> Iterator[Candidate]:
    """A raw SEAMCALL with one register less."""
    for cpu, program in enumerate(case.programs):
        for i, op in enumerate(program):
            if not op.is_seamcall:
                continue
            for at, value in enumerate(op.args):
                if value:
                    args = (*op.args[:at], 0, *op.args[at + 1 :])
                    smaller = (*program[:i], evolve(op, args=args), *program[i + 1 :])
                    yield Candidate(evolve(case, programs=_with_program(case, cpu, smaller)))


def _every_op(case: Case) -> Iterator[Op]:
    yield from case.setup
    for program in case.programs:
        yield from program


Simplification = Callable[[Case], Iterator[Candidate]]

SIMPLIFICATIONS: tuple[Simplification, ...] = (
    _without_cpus,
    _other_cpus,
    _without_operations,
    _into_setup,
    _without_faults,
    _single_operations,
    _smallest_programs,
    _simpler_operations,
    _without_setup,
    _simpler_worlds,
    _smaller_arguments,
    _zero_registers,
    _sorted_setup,
)
"""In the order in which they are tried; each takes a case without a schedule."""
