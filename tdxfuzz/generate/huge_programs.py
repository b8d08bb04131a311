"""Programs with 2MB pages: mapped, split, zapped, merged, beside pages of 4KB."""

from __future__ import annotations

from attrs import evolve, field, frozen, validators

from tdxfuzz.case.case import DEFAULT_STEPS, Case
from tdxfuzz.case.operation import AREA_OPERATIONS, Op
from tdxfuzz.case.world import ALL_ENTRIES, World
from tdxfuzz.generate.choices import Choices

FEW = 4
"""4KB pages that a 2MB page is split into, unless it is the real number: 2MB pages of so few are
zapped in hundreds of steps, those of 512 in 40,000."""


@frozen
class Huge:
    """How many of a hunt's programs have 2MB pages.

    Args:
        share: from 0 to 1.
        entries: how many 4KB pages a 2MB page is split into.

    Raises:
        ValueError: the share is out of range.
    """

    share: float = field(default=0.2, validator=[validators.ge(0.0), validators.le(1.0)])
    entries: int = FEW

    @property
    def steps(self) -> int:
        """The bound of a run."""
        return 20 * DEFAULT_STEPS if self.entries == ALL_ENTRIES else DEFAULT_STEPS

    def resize(self, case: Case) -> Case:
        """A case whose 2MB pages are split into so many."""
        return evolve(case, world=evolve(case.world, entries=self.entries), steps=self.steps)


EVERY = Huge(1.0)
EVERY_REAL = Huge(1.0, ALL_ENTRIES)
"""All programs have 2MB pages, split into a few, or into as many as there are."""

LAYOUTS: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...] = (
    ((0,), (1, 2), (3, 4)),
    ((0,), (1,), (2,)),
    ((0,), (0, 1), ()),
)
"""(guest, kernel, fresh ranges): pairs of splits come from ranges that others get, too."""

LENGTHS = ((1, 2, 3), (5, 3, 1))
AREA_WEIGHTS = (4, 4, 2, 1)
"""Of map2m, accept4k, zap2m, promote."""

SPLITS = 70
"""Percent of cases in which a CPU begins with a split. To find a mistake there, it must meet
another CPU that adds the pair of a range which nobody has used yet."""

OF_AREAS = 45
"""Percent of other operations that are about areas."""

FITTING = 75
"""Percent of operations that fit: split what is whole, merge or zap what is split, map what is not
mapped."""

WARM = 30
"""Percent of TDs that have a page of 4KB mapped before, and so the S-EPT pages for another one."""

WHOLE, SPLIT, SMALL, NONE = "whole", "split", "small", "none"
STATES = (WHOLE, SPLIT, NONE)
"""Of an area: mapped at 2MB; split, so that it can be merged again; not mapped. In the fourth state
it was mapped at 4KB from the start, and only its first page is."""

MADE_BY = {WHOLE: ("map2m",), SPLIT: ("map2m", "accept4k"), NONE: ()}
"""The set-up of an area in each state."""

FITTING_NEXT = {
    WHOLE: ("accept4k", "zap2m"),
    SPLIT: ("zap2m", "promote"),
    SMALL: ("zap2m", "map2m"),
    NONE: ("map2m", "accept4k"),
}
"""The operations that fit, the more frequent one first."""


def draw_huge_case(choices: Choices, design: str, huge: Huge = EVERY, cpus: int = 2) -> Case:
    """A case without a schedule: two TDs, some with a 2MB page, whole or split.

    As in :func:`tdxfuzz.generate.programs.draw_case` anything may occur.
    """
    guest, kernel, fresh = choices.pick(LAYOUTS, (6, 2, 1))
    world = World(
        cpus=cpus,
        tds=2,
        slots=1,
        guest_ranges=guest,
        kernel_ranges=kernel,
        fresh_ranges=fresh,
        areas=1,
        entries=huge.entries,
    )
    setup = [Op("create", (td,)) for td in range(2)]
    splitter = choices.below(cpus) if choices.percent(SPLITS) else None
    state = [choices.pick(STATES, (3, 2, 3)) for _ in range(2)]
    if splitter is not None:
        state[splitter % 2] = WHOLE
    mapped = {td for td in range(2) if choices.percent(WARM)}
    for td in range(2):
        if td in mapped:
            setup.append(Op("map", (td, 0)))
        setup += [Op(name, (td, 0)) for name in MADE_BY[state[td]]]
    programs: list[tuple[Op, ...]] = []
    for cpu in range(cpus):
        ops = [_draw_op(choices, cpu % 2, state, mapped) for _ in range(choices.pick(*LENGTHS))]
        if cpu == splitter:
            ops[0] = Op("accept4k", (cpu % 2, 0))
        programs.append(tuple(ops))
    return Case(design, world, tuple(setup), tuple(programs), steps=huge.steps)


def _draw_op(choices: Choices, own: int, state: list[str], mapped: set[int]) -> Op:
    """One operation, given what the operations drawn so far may have made."""
    td = own if choices.percent(70) else 1 - own
    if not choices.percent(OF_AREAS):
        name = choices.pick(("slot", "convert", "vcpu", "destroy"), (9, 2, 1, 1))
        if name == "slot":
            name = "zap" if (td in mapped) == choices.percent(FITTING) else "map"
            (mapped.discard if name == "zap" else mapped.add)(td)
        return Op(name, (td, 0) if name in ("map", "zap", "convert") else (td,))
    name = choices.pick(AREA_OPERATIONS, AREA_WEIGHTS)
    if choices.percent(FITTING):
        name = choices.pick(FITTING_NEXT[state[td]], (3, 1))
    state[td] = _state_after(name, state[td])
    return Op(name, (td, 0))


def _state_after(name: str, before: str) -> str:
    """The state of an area that an operation leaves, if nothing else comes between."""
    if name == "zap2m":
        return NONE
    if name == "map2m":
        return WHOLE if before == NONE else before
    if name == "accept4k":
        return {WHOLE: SPLIT, NONE: SMALL}.get(before, before)
    return WHOLE if before == SPLIT else before
