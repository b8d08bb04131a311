"""Cases from cases: what a coverage-guided fuzzer tries next."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from attrs import evolve

from tdxfuzz.check.rerun import Rerun
from tdxfuzz.check.run import Design
from tdxfuzz.host.case import Case
from tdxfuzz.host.op import OPERATIONS, Op
from tdxfuzz.search.footprint import conflicts_of
from tdxfuzz.search.programs import draw_case
from tdxfuzz.search.source import RandomSource
from tdxfuzz.sim import EMPTY, Schedule

MOST_PREEMPTIONS = 4


def mutate(case: Case, rng: Random, design: Design = None) -> Case:
    """A case that differs from ``case`` in programs, in order, or in everything.

    Most often in order: a preemption more, less or elsewhere, before a step that another
    CPU can spoil.

    Raises:
        HarnessError: as for :func:`tdxfuzz.check.run.run`.
    """
    change = rng.choices((_reorder, _reprogram, _afresh), (6, 2, 2))[0]
    return change(case, rng, design)


def _reorder(case: Case, rng: Random, design: Design) -> Case:
    pairs = [(switch.step, switch.cpu) for switch in case.schedule]
    if pairs and (len(pairs) >= MOST_PREEMPTIONS or rng.random() < 0.5):
        pairs.pop(rng.randrange(len(pairs)))
    conflicts = conflicts_of(Rerun(case, design), Schedule.of(pairs))
    if conflicts:
        pairs.append(rng.choice(rng.choice(conflicts)))
    return case.with_schedule(Schedule.of(pairs))


def _reprogram(case: Case, rng: Random, design: Design) -> Case:
    """Another operation somewhere, or the programs of two CPUs exchanged."""
    programs = [list(program) for program in case.programs]
    cpu = rng.randrange(len(programs))
    drawn = _drawn_op(case, rng)
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
    name = rng.choice(("map", "zap", "map", "zap", "create", "destroy", "convert", "vcpu"))
    given = {"td": td, "slot": slot}
    return Op(name, tuple(given[what] for what in OPERATIONS[name]))


def _afresh(case: Case, rng: Random, design: Design) -> Case:
    fresh = draw_case(RandomSource(rng), case.design, case.world.cpus)
    return _reorder(fresh.with_schedule(EMPTY), rng, design)
