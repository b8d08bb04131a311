"""Programs whose TDs run: finalised, with a vCPU that is entered beside what else is done."""

from __future__ import annotations

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.guest_script import Act, Action, number_of
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.choices import Choices

SHARE = 0.3
"""Share of a hunt's programs, long histories and standard scenarios left aside."""

FIRST = 60
"""Percent of cases in which CPU 0 has the entry that every case has; else any CPU. Then the guest
is inside when the other CPU is switched to: that takes one preemption fewer."""

ENTERS = 25
"""Percent of the other CPUs whose program has an entry, too. It stands in the place of another
operation, which may be the one that a guest was to meet."""

MEETS = 75
"""Percent of entries that are of a TD whose pages another CPU takes away or maps, if there is
one."""

TAKES_PAGES_AWAY = ("zap", "convert", "zap2m", "accept4k", "promote", "destroy")

MAPS = ("map", "map2m")
"""A guest that accepts or reads a page holds the S-EPT entry, so that AUG and SEPT.ADD are BUSY."""

MEETS_MAP = 35
"""Percent of those entries that meet such an operation, where a page is taken away, too."""

OF_A_SLOT = ("zap", "convert", "map")
"""Those of them that say which page of 4KB it is."""

MIGRATES = 10
"""Percent of entries before which the vCPU's thread goes to another CPU."""

Weighted = tuple[tuple[Act, ...], tuple[int, ...]]

WARM = 40
"""Percent of pages that another CPU maps whose S-EPT pages are there before. Then AUG may be BUSY,
else SEPT.ADD."""

TERMINATES = 60
"""Percent of TDs whose HKID goes before their pages, of those that are destroyed."""

LENGTHS = ((1, 2, 3), (3, 4, 2))
"""How many actions a script has."""

OF_SLOTS: Weighted = (
    (Act.ACCEPT, Act.TOUCH, Act.CONVERT, Act.READ, Act.WRITE, Act.HLT),
    (8, 4, 2, 1, 1, 1),
)
OF_SLOTS_THAT_COME: Weighted = ((Act.ACCEPT, Act.READ, Act.TOUCH), (3, 3, 1))
"""Where another CPU maps pages: what holds an S-EPT entry that is free."""

OF_AREAS = ((Act.ACCEPT, Act.ACCEPT4K, Act.TOUCH), (3, 4, 2))
IN_AREA = 50
"""Percent of actions that are about a 2MB area, if there are any."""

VCPU = 0
"""The vCPU that a set-up makes: that of the CPU which runs it."""


def with_running_tds(choices: Choices, case: Case) -> Case:
    """A case whose TDs are finalised once they are made, and in which vCPUs are entered."""
    setup: list[Op] = []
    for op in case.setup:
        setup.append(op)
        if op.name == "create":
            setup += [Op("vcpu", op.args), Op("finalize", op.args)]
    alive = list(dict.fromkeys(op.args[0] for op in case.setup if op.name == "create"))
    if not alive or any(op.name in ("destroy", "vcpu") for op in case.setup):
        return case
    programs = [list(program) for program in case.programs]
    must = 0 if choices.percent(FIRST) else choices.below(len(programs))
    for cpu, program in enumerate(programs):
        if cpu != must and not choices.percent(ENTERS):
            continue
        others = [op for at, each in enumerate(case.programs) if at != cpu for op in each]
        others = [op for op in others if op.args[0] in alive]
        taken = [op for op in others if op.name in TAKES_PAGES_AWAY]
        maps = [op for op in others if op.name in MAPS]
        meets = maps if maps and (not taken or choices.percent(MEETS_MAP)) else taken
        if meets and choices.percent(MEETS):
            met = meets[choices.below(len(meets))]
            td, slot = met.args[0], met.args[1] if met.name in OF_A_SLOT else None
            acts = OF_SLOTS_THAT_COME if meets is maps else OF_SLOTS
            if met.name == "map" and Op("map", met.args) not in setup and choices.percent(WARM):
                setup += [Op("map", met.args), Op("zap", met.args)]
        else:
            td, slot, acts = alive[choices.below(len(alive))], None, OF_SLOTS
        entry = [Op("enter", (td, VCPU, draw_script(choices, case.world, slot, acts)))]
        if choices.percent(MIGRATES):
            entry.insert(0, Op("migrate", (td, VCPU, choices.below(len(programs)))))
        at = choices.below(max(len(program), 1))
        program[at : at + 1] = entry
    for program in programs:
        for at, op in reversed(list(enumerate(program))):
            if op.name == "destroy" and choices.percent(TERMINATES):
                program.insert(at, Op("terminate", op.args))
    return evolve(case, setup=tuple(setup), programs=tuple(map(tuple, programs)))


def guest_meets_host(case: Case) -> bool:
    """Whether a CPU enters a vCPU of a TD whose pages another CPU takes away, or maps where the
    guest is: then it may meet BUSY, a kick and TRACK, though no 2MB range is in get or put of both.
    """
    return any(
        _meet(op, other)
        for cpu, program in enumerate(case.programs)
        for op in program
        if op.name == "enter"
        for at, others in enumerate(case.programs)
        if at != cpu
        for other in others
    )


def _meet(entry: Op, other: Op) -> bool:
    if other.is_seamcall or other.args[0] != entry.args[0]:
        return False
    of_map = other.name in MAPS and other.arguments[1] in entry.numbers
    return of_map or other.name in TAKES_PAGES_AWAY


def draw_script(
    choices: Choices, world: World, slot: int | None = None, acts: Weighted = OF_SLOTS
) -> int:
    """What a guest does; most of it with ``slot``, if it is to meet what another CPU does there."""
    actions = []
    for _ in range(choices.pick(*LENGTHS)):
        if world.areas and choices.percent(IN_AREA):
            actions.append(Action(choices.pick(*OF_AREAS), area=choices.below(world.areas)))
            continue
        act = choices.pick(*acts)
        of = slot if slot is not None and choices.percent(MEETS) else choices.below(world.slots)
        actions.append(Action(act, of if act.takes_slot else None))
    return number_of(tuple(actions))
