"""Worlds, set-ups and programs to try: what is run; the engines decide in which order."""

from __future__ import annotations

from collections.abc import Sequence

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.choices import Choices
from tdxfuzz.sim import Fault

LAYOUTS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((0,), (1, 2)),
    ((0,), (0, 1)),
    ((0, 1), (1, 2)),
    ((0,), (0,)),
)
"""(guest ranges, kernel ranges): crowded on purpose, from apart to all in one."""

LAYOUT_WEIGHTS = (4, 3, 2, 1)
PROGRAM_LENGTHS = ((1, 2, 3), (5, 3, 2))
MAPPED_PAGES = ((0, 1, 2, 3), (2, 5, 2, 1))
SLOTS = ((1, 2, 3, 4), (5, 3, 1, 1))
TDS = ((2, 3), (4, 1))
"""(values, weights). Few pages in use, so that a range's count often goes to 0 or 1."""

OWN_TD = 80
"""Percent of a CPU's work on its own TD: work on one TD is serialised by KVM's locks."""

ALLOC_FAILS = 8
"""Percent of cases in which an allocation fails."""

MOST_ALLOCATIONS = 40
"""Allocations of a program, about: which of them fails is drawn below this."""

ALIVE = 75
"""Percent of TDs that exist when the programs start: two that come at once meet in ranges
that nobody holds yet."""

RARE_OPS = (("destroy", 7), ("convert", 4), ("vcpu", 4))
"""Percent of operations that are neither map nor zap."""

LIKELY = 85
"""Percent of operations that fit: zap what is mapped, map what is not."""


def draw_case(choices: Choices, design: str, cpus: int = 2) -> Case:
    """A case without a schedule: a few TDs, a page or two mapped, a short program per CPU.

    Anything may occur: an operation that does not apply ends at once.
    """
    guest, kernel = choices.pick(LAYOUTS, LAYOUT_WEIGHTS)
    tds = choices.pick(*TDS)
    world = World(
        cpus=cpus,
        tds=tds,
        slots=choices.pick(*SLOTS),
        guest_ranges=guest,
        kernel_ranges=kernel,
    )
    alive = {td for td in range(tds) if choices.percent(ALIVE if td < 2 else 50)}
    setup = [Op("create", (td,)) for td in sorted(alive)]
    pages = [(td, slot) for td in sorted(alive) for slot in range(world.slots)]
    mapped: set[tuple[int, int]] = set()
    for _ in range(min(choices.pick(*MAPPED_PAGES), len(pages))):
        mapped.add(pages.pop(choices.below(len(pages))))
    setup += [Op("map", page) for page in sorted(mapped)]
    programs = draw_programs(choices, world, setup)
    return Case(design, world, tuple(setup), programs, faults=draw_faults(choices))


def draw_faults(choices: Choices) -> tuple[Fault, ...]:
    """Now and then an allocation that fails."""
    if choices.percent(ALLOC_FAILS):
        return (Fault("alloc", choices.below(MOST_ALLOCATIONS)),)
    return ()


def draw_programs(
    choices: Choices, world: World, setup: Sequence[Op]
) -> tuple[tuple[Op, ...], ...]:
    """A short program for each CPU of a world, given what a set-up has made there."""
    alive = {op.args[0] for op in setup if op.name == "create"}
    mapped = {(op.args[0], op.args[1]) for op in setup if op.name == "map"}
    lengths = [choices.pick(*PROGRAM_LENGTHS) for _ in range(world.cpus)]
    programs: list[list[Op]] = [[] for _ in range(world.cpus)]
    for turn in range(max(lengths)):
        for cpu in range(world.cpus):
            if turn < lengths[cpu]:
                own = choices.percent(OWN_TD)
                td = cpu % world.tds if own else choices.below(world.tds)
                programs[cpu].append(_draw_op(choices, world, td, alive, mapped))
    return tuple(map(tuple, programs))


def _draw_op(
    choices: Choices, world: World, td: int, alive: set[int], mapped: set[tuple[int, int]]
) -> Op:
    """One operation on a TD, given what the operations drawn so far may have made."""
    if td not in alive:
        alive.add(td)
        return Op("create", (td,))
    for name, percent in RARE_OPS:
        if choices.percent(percent):
            return _rare_op(choices, world, name, td, alive, mapped)
    page = td, choices.below(world.slots)
    if (page in mapped) == choices.percent(LIKELY):
        mapped.discard(page)
        return Op("zap", page)
    mapped.add(page)
    return Op("map", page)


def _rare_op(
    choices: Choices,
    world: World,
    name: str,
    td: int,
    alive: set[int],
    mapped: set[tuple[int, int]],
) -> Op:
    if name == "vcpu":
        return Op("vcpu", (td,))
    if name == "convert":
        page = td, choices.below(world.slots)
        mapped.discard(page)
        return Op("convert", page)
    alive.discard(td)
    mapped.difference_update({page for page in mapped if page[0] == td})
    return Op("destroy", (td,))
