"""Programs with 2MB pages: mapped, split, zapped, merged, beside pages of 4KB."""

from __future__ import annotations

from enum import Enum

from tdxfuzz.case.case import DEFAULT_STEPS, Case
from tdxfuzz.case.operation import AREA_OPERATIONS, Op
from tdxfuzz.case.world import ALL_ENTRIES, World
from tdxfuzz.generate.choices import Choices


class Huge(Enum):
    """How many 4KB pages a 2MB page is split into: as many as it has, or a few."""

    REAL = "real"
    FEW = "few"


ENTRIES = {Huge.REAL: ALL_ENTRIES, Huge.FEW: 4}

STEPS = {Huge.REAL: 20 * DEFAULT_STEPS, Huge.FEW: DEFAULT_STEPS}
"""To zap the pages of one split 2MB page takes 40,000 steps at the real size."""

LAYOUTS: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...] = (
    ((0,), (1, 2), (3, 4)),
    ((0,), (1,), (2,)),
    ((0,), (0, 1), ()),
)
"""(guest, kernel, fresh ranges): pairs of splits come from ranges that others get, too."""

LENGTHS = ((1, 2, 3), (5, 3, 1))
AREA_WEIGHTS = (4, 4, 2, 1)
"""Of map2m, accept4k, zap2m, promote."""

OF_AREAS = 60
"""Percent of operations that are about areas."""

FITTING = 75
"""Percent of operations on areas that fit: split what is whole, merge or zap what is split."""

STATES = ("map2m", "accept4k", "none")


def draw_huge_case(choices: Choices, design: str, huge: Huge, cpus: int = 2) -> Case:
    """A case without a schedule: two TDs, some with a 2MB page, whole or split.

    As in :func:`tdxfuzz.generate.programs.draw_case` anything may occur.
    """
    guest, kernel, fresh = choices.pick(LAYOUTS, (4, 2, 1))
    world = World(
        cpus=cpus,
        tds=2,
        slots=1,
        guest_ranges=guest,
        kernel_ranges=kernel,
        fresh_ranges=fresh,
        areas=1,
        entries=ENTRIES[huge],
    )
    setup = [Op("create", (td,)) for td in range(2)]
    state = [choices.pick(STATES, (4, 2, 2)) for _ in range(2)]
    for td in range(2):
        if choices.percent(40):
            setup.append(Op("map", (td, 0)))
        if state[td] != "none":
            setup.append(Op(state[td], (td, 0)))
    programs: list[tuple[Op, ...]] = []
    for cpu in range(cpus):
        ops = [_draw_op(choices, cpu % 2, state) for _ in range(choices.pick(*LENGTHS))]
        programs.append(tuple(ops))
    return Case(design, world, tuple(setup), tuple(programs), steps=STEPS[huge])


def _draw_op(choices: Choices, own: int, state: list[str]) -> Op:
    td = own if choices.percent(70) else 1 - own
    if not choices.percent(OF_AREAS):
        name = choices.pick(("map", "zap", "convert", "vcpu", "destroy"), (5, 4, 2, 1, 1))
        return Op(name, (td, 0) if name in ("map", "zap", "convert") else (td,))
    name = choices.pick(AREA_OPERATIONS, AREA_WEIGHTS)
    if choices.percent(FITTING):
        fitting = {
            "map2m": ("accept4k", "zap2m"),
            "accept4k": ("zap2m", "promote"),
            "none": ("map2m", "accept4k"),
        }[state[td]]
        name = choices.pick(fitting, (3, 1))
    state[td] = {"zap2m": "none", "promote": "map2m"}.get(name, name)
    return Op(name, (td, 0))
