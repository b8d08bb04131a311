"""Cases from cases: what a coverage-guided fuzzer tries next."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import evolve

from tdxfuzz.check.rerun import Rerun, Worlds
from tdxfuzz.host.case import Case
from tdxfuzz.host.hostile import HOSTILE
from tdxfuzz.host.op import AREA_OPERATIONS, OPERATIONS, Op
from tdxfuzz.search.footprint import conflicts_of
from tdxfuzz.search.hostile import HOSTILE_LEAVES, draw_call, draw_hostile, fitting_calls
from tdxfuzz.search.hostile_codec import setup_of
from tdxfuzz.search.programs import draw_case
from tdxfuzz.search.source import RandomSource
from tdxfuzz.sim import EMPTY, Schedule

MOST_PREEMPTIONS = 4

ANY_LEAF = 0.3
"""How often a SEAMCALL is one that need not succeed after the set-up."""

_PROBE = Op.parse("TDH.PHYMEM.PAGE.RDMD rcx=A0")


def mutate(case: Case, rng: Random, worlds: Worlds | None = None) -> Case:
    """A case that differs from ``case`` in programs, in order, or in everything.

    Most often in order: a preemption more, less or elsewhere, before a step that another
    CPU can spoil. ``worlds`` are where cases that begin alike are run.

    Raises:
        HarnessError: as for :func:`tdxfuzz.check.run.run`.
    """
    change = rng.choices((_reorder, _reprogram, _afresh), (6, 2, 2))[0]
    return change(case, rng, worlds)


def _reorder(case: Case, rng: Random, worlds: Worlds | None) -> Case:
    pairs = [(switch.step, switch.cpu) for switch in case.schedule]
    if pairs and (len(pairs) >= MOST_PREEMPTIONS or rng.random() < 0.5):
        pairs.pop(rng.randrange(len(pairs)))
    conflicts = conflicts_of(Rerun(case, worlds=worlds), Schedule.of(pairs))
    if conflicts:
        pairs.append(rng.choice(rng.choice(conflicts)))
    return case.with_schedule(Schedule.of(pairs))


def _reprogram(case: Case, rng: Random, worlds: Worlds | None) -> Case:
    """Another operation somewhere, or the programs of two CPUs exchanged."""
    programs = [list(program) for program in case.programs]
    cpu = rng.randrange(len(programs))
    drawn = _drawn_call(case, rng) if case.design == HOSTILE else _drawn_op(case, rng)
    edits: list[Callable[[], None]] = [lambda: programs[cpu].insert(0, drawn), programs.reverse]
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
        return draw_call(RandomSource(rng), rng.choice(HOSTILE_LEAVES), setup)
    calls = fitting_calls(setup)
    return rng.choice(calls[rng.choice(list(calls))])


def _afresh(case: Case, rng: Random, worlds: Worlds | None) -> Case:
    source = RandomSource(rng)
    if case.design == HOSTILE:
        fresh = draw_hostile(source, case.world.cpus)
    else:
        fresh = draw_case(source, case.design, case.world.cpus)
    return _reorder(fresh.with_schedule(EMPTY), rng, worlds)


def cross(case: Case, other: Case, rng: Random) -> Case:
    """A child of two cases: the world of the first, and for each CPU the program of one of
    them; the order of either. What of the other does not fit the world is left out.
    """
    programs = []
    for cpu, own in enumerate(case.programs):
        theirs = other.programs[cpu] if cpu < len(other.programs) else ()
        chosen = own if rng.random() < 0.5 else theirs
        programs.append(tuple(op for op in chosen if _fits(op, case)))
    source = case if rng.random() < 0.5 else other
    pairs = [(at.step, at.cpu % (2 * case.world.cpus)) for at in source.schedule]
    return evolve(case, programs=tuple(programs), schedule=Schedule.of(pairs))


def _fits(op: Op, case: Case) -> bool:
    return op.is_seamcall or all(value < case.world.most(what) for what, value in op.arguments)
