"""Cases from cases: what a coverage-guided fuzzer tries next."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import evolve

from tdxfuzz.case.case import MAX_OPERATIONS, Case
from tdxfuzz.case.hostile import HOSTILE, SETUPS
from tdxfuzz.case.operation import AREA_OPERATIONS, OPERATIONS, Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.codec import presets
from tdxfuzz.generate.hostile_calls import (
    HOSTILE_LEAVES,
    draw_call,
    draw_calls,
    draw_hostile,
    fitting_calls,
    hostile_case,
)
from tdxfuzz.generate.hostile_codec import setup_of
from tdxfuzz.generate.programs import ALIVE, draw_case, draw_programs
from tdxfuzz.run.footprint import Conflicts
from tdxfuzz.sim import EMPTY, Schedule

MOST_PREEMPTIONS = 4

CHANGES = (50, 20, 24, 6)
"""Weights of another order, another operation, other programs, and a world that was perhaps not
met before: to set one up takes as long as several runs.
"""

SAME_WORLD = 0.5
"""How often other programs stay where the case was."""

BEHIND = 0.1
"""How often steps worth preempting are looked for behind the preemptions there are, which takes
a run. Else those of the default order do, as they are known for programs that were met before.
"""

ANY_LEAF = 0.3
"""How often a SEAMCALL is one that need not succeed after the set-up."""

_PROBE = Op.parse("TDH.PHYMEM.PAGE.RDMD rcx=A0")


def mutate(case: Case, rng: Random, conflicts: Conflicts | None = None) -> Case:
    """A case that differs from ``case`` in order, in programs, or in everything.

    Most often in order: a preemption more, less or elsewhere, before a step that another
    CPU can spoil. ``conflicts`` knows such steps of the cases it was asked about before.

    Raises:
        HarnessError: as for :func:`tdxfuzz.run.session.run`.
    """
    change = rng.choices((_reorder, _reprogram, _renew, _afresh), CHANGES)[0]
    return change(case, rng, conflicts or Conflicts())


def _reorder(case: Case, rng: Random, conflicts: Conflicts) -> Case:
    pairs = [(switch.step, switch.cpu) for switch in case.schedule]
    if pairs and (len(pairs) >= MOST_PREEMPTIONS or rng.random() < 0.5):
        pairs.pop(rng.randrange(len(pairs)))
    behind = bool(pairs) and rng.random() < BEHIND
    cells = conflicts.under(case, Schedule.of(pairs)) if behind else conflicts.of(case)
    if cells:
        pairs.append(rng.choice(rng.choice(cells)))
    return case.with_schedule(Schedule.of(pairs))


def _reprogram(case: Case, rng: Random, conflicts: Conflicts) -> Case:
    """Another operation somewhere, or the programs of two CPUs exchanged."""
    programs = [list(program) for program in case.programs]
    cpu = rng.randrange(len(programs))
    drawn = _drawn_call(case, rng) if case.design == HOSTILE else _drawn_op(case, rng)
    edits: list[Callable[[], None]] = [programs.reverse]
    if case.operations < MAX_OPERATIONS:
        edits.insert(0, lambda: programs[cpu].insert(0, drawn))
    if programs[cpu]:
        at = rng.randrange(len(programs[cpu]))
        edits += [
            lambda: programs[cpu].__setitem__(at, drawn),
            lambda: programs[cpu].__delitem__(at),
        ]
    rng.choice(edits)()
    return evolve(case, programs=tuple(map(tuple, programs)))


def _drawn_op(case: Case, rng: Random) -> Op:
    td, slot = rng.randrange(case.world.tds), rng.randrange(case.world.slots)
    names = ["map", "zap", "map", "zap", "create", "destroy", "convert", "vcpu"]
    given = {"td": td, "slot": slot}
    if case.world.areas:
        given["area"] = rng.randrange(case.world.areas)
        names += AREA_OPERATIONS
    name = rng.choice(names)
    return Op(name, tuple(given[what] for what in OPERATIONS[name]))


def _drawn_call(case: Case, rng: Random) -> Op:
    """A SEAMCALL that succeeds after the set-up; now and then any leaf with operands that mean
    something there.
    """
    setup = setup_of(case)
    if setup is None:
        return rng.choice([op for program in case.programs for op in program] or [_PROBE])
    if rng.random() < ANY_LEAF:
        return draw_call(RandomChoices(rng), rng.choice(HOSTILE_LEAVES), setup)
    calls = fitting_calls(setup)
    return rng.choice(calls[rng.choice(list(calls))])


def _renew(case: Case, rng: Random, conflicts: Conflicts) -> Case:
    """Other programs: in the same world, or in one that cases often begin in."""
    choices = RandomChoices(rng)
    same = rng.random() < SAME_WORLD
    if case.design == HOSTILE:
        setup = (setup_of(case) if same else None) or rng.choice(list(SETUPS))
        cpus = case.world.cpus
        fresh = hostile_case(setup, cpus, draw_calls(choices, setup, cpus))
    else:
        world, begun = (case.world, case.setup) if same else _beginning(rng)
        programs = draw_programs(choices, world, begun)
        fresh = evolve(case, world=world, setup=begun, programs=programs, schedule=EMPTY)
    return _reorder(fresh, rng, conflicts)


def _beginning(rng: Random) -> tuple[World, tuple[Op, ...]]:
    """A world of two TDs, mostly alive, with what has been set up in it."""
    world, setup = rng.choice(presets())
    alive = [rng.random() * 100 < ALIVE for _ in range(world.tds)]
    return world, tuple(op for op in setup if alive[op.args[0]])


def _afresh(case: Case, rng: Random, conflicts: Conflicts) -> Case:
    choices = RandomChoices(rng)
    if case.design == HOSTILE:
        fresh = draw_hostile(choices, case.world.cpus)
    else:
        fresh = draw_case(choices, case.design, case.world.cpus)
    return _reorder(fresh, rng, conflicts)


def cross(case: Case, other: Case, rng: Random) -> Case:
    """A child of two cases: the world of the first, and for each CPU the program of one of
    them; the order of either. What of the other does not fit the world is left out, and so is a
    program for which there is no room beside the first one's.
    """
    programs = []
    room = MAX_OPERATIONS - case.operations
    for cpu, own in enumerate(case.programs):
        others = other.programs[cpu] if cpu < len(other.programs) else ()
        theirs = tuple(op for op in others if _fits(op, case))
        grows = len(theirs) - len(own)
        if rng.random() < 0.5 or grows > room:
            programs.append(own)
        else:
            programs.append(theirs)
            room -= grows
    source = case if rng.random() < 0.5 else other
    pairs = [(at.step, at.cpu % (2 * case.world.cpus)) for at in source.schedule]
    return evolve(case, programs=tuple(programs), schedule=Schedule.of(pairs))


def _fits(op: Op, case: Case) -> bool:
    of_script = [
        (what, number)
        for action in op.script
        for what, number in (("slot", action.slot), ("area", action.area))
        if number is not None
    ]
    named = (*op.arguments, *of_script)
    return op.is_seamcall or all(value < case.world.most(what) for what, value in named)
