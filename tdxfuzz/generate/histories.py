"""Long histories: few pages in several ranges, mapped and zapped again and again.

Some mistakes show only after a while: a range becomes empty, is taken again, and then another one
becomes empty. Designs that remove pairs late, or many at once, are of that kind. No second CPU is
needed for that, and one preemption more or less does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.choices import Choices
from tdxfuzz.generate.programs import draw_faults

RANGES = ((2, 3, 4, 5), (5, 4, 2, 1))
"""How many ranges hold guests' pages. The allocator has two others, so that all of these can
become empty, and one is left that nobody uses, for designs that ask for a whole one."""

TDS = ((1, 2), (2, 1))
"""Each TD has one page in each of the ranges. With one TD, each zap makes a range empty."""

OPERATIONS = ((8, 16, 32, 60), (2, 2, 3, 3))
"""How long a history is. With 60 operations on two ranges, each range becomes empty about 15
times."""

BEFORE = 50
"""Percent of cases in which the history happens before the programs, which are its last
operations. Such programs are short, so that many of their orders can be tried."""

LAST = ((1, 2, 3), (3, 3, 1))
"""Operations of each CPU behind a history that happens before the programs."""

OWN_TD = 80
FITTING = 90
RARE = (("convert", 4), ("recreate", 3))
"""Percent, as in :mod:`tdxfuzz.generate.programs`. ``recreate`` destroys a TD and makes it anew."""


def draw_history(choices: Choices, design: str, cpus: int = 2) -> Case:
    """A case without a schedule: a long history, in the programs or mostly before them.

    On one CPU all of it is in the program, because there are no orders to be tried.
    """
    ranges, tds = choices.pick(*RANGES), choices.pick(*TDS)
    guest = tuple(range(ranges))
    world = World(
        cpus=cpus, tds=tds, slots=ranges, guest_ranges=guest, kernel_ranges=(ranges, ranges + 1)
    )
    setup = [Op("create", (td,)) for td in range(tds)]
    count = choices.pick(*OPERATIONS)
    pages = _Pages(choices, world)
    before = cpus > 1 and choices.percent(BEFORE)
    if before:
        while len(setup) < count:
            setup += pages.next_for(choices.below(tds))
    programs: list[tuple[Op, ...]] = []
    for cpu in range(cpus):
        # In the default order one CPU goes on where the other one has ended.
        most = choices.pick(*LAST) if before else count // cpus
        ops: list[Op] = []
        while len(ops) < most:
            td = cpu % tds if choices.percent(OWN_TD) else choices.below(tds)
            ops += pages.next_for(td)
        programs.append(tuple(ops))
    return Case(design, world, tuple(setup), tuple(programs), faults=draw_faults(choices))


class _Pages:
    """Draws operations, given what those before it may have mapped."""

    def __init__(self, choices: Choices, world: World) -> None:
        self._choices = choices
        self._world = world
        self._mapped: set[tuple[int, int]] = set()

    def next_for(self, td: int) -> Iterator[Op]:
        """What a CPU does next with a TD: one operation; two to make the TD anew."""
        choices = self._choices
        page = td, choices.below(self._world.slots)
        rare = next((name for name, percent in RARE if choices.percent(percent)), None)
        if rare == "recreate":
            self._mapped = {other for other in self._mapped if other[0] != td}
            yield from (Op("destroy", (td,)), Op("create", (td,)))
        elif rare == "convert":
            self._mapped.discard(page)
            yield Op("convert", page)
        elif (page in self._mapped) == choices.percent(FITTING):
            self._mapped.discard(page)
            yield Op("zap", page)
        else:
            self._mapped.add(page)
            yield Op("map", page)
