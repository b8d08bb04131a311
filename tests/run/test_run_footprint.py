"""Footprints: the preemptions that can matter are those that do."""

from __future__ import annotations

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.run.footprint import Conflicts, conflicts_of
from tdxfuzz.run.session import run
from tdxfuzz.run.worlds import Rerun
from tdxfuzz.sim import Schedule

SETUP = tuple(map(Op.parse, ("create 0", "create 1", "map 0 0")))
WORLD = World(cpus=2, tds=2, slots=1)
HINT = Case("hint", WORLD, SETUP, ((Op.parse("map 1 0"),), (Op.parse("zap 0 0"),)))


def places(case: Case) -> set[tuple[int, int]]:
    return {place for cell in conflicts_of(Rerun(case), case.schedule) for place in cell}


def finds(case: Case, place: tuple[int, int]) -> bool:
    return run(case.with_schedule(Schedule.of([place]))).finding is not None


def test_a_cpu_alone_has_no_conflicts() -> None:
    alone = Case("hint", WORLD, SETUP, ((Op.parse("map 1 0"),), ()))
    assert conflicts_of(Rerun(alone)) == ()


def test_some_conflict_shows_the_race_and_they_are_few() -> None:
    steps = run(HINT).outcome.steps
    mattering = places(HINT)
    assert any(finds(HINT, place) for place in mattering)
    assert len(mattering) < steps / 2


def test_whatever_one_preemption_shows_a_conflict_shows_too() -> None:
    steps = run(HINT).outcome.steps
    mattering = places(HINT)
    conflicts_find = {step for step, cpu in mattering if finds(HINT, (step, cpu))}
    assert conflicts_find
    for step in range(steps):
        if finds(HINT, (step, 1)):
            later = min((s for s, _ in mattering if s >= step), default=None)
            assert later in conflicts_find, f"preempting at {step} shows the race"


def test_conflicts_are_looked_for_once_for_programs_whatever_their_order() -> None:
    conflicts = Conflicts(most=1)
    (place, *_), *_ = found = conflicts.of(HINT)
    assert found == conflicts_of(Rerun(HINT))
    preempted = HINT.with_schedule(Schedule.of([place]))
    assert conflicts.of(preempted) is found
    assert conflicts.under(preempted, preempted.schedule) != found
    assert conflicts.of(HINT) is found
    conflicts.of(evolve(HINT, programs=HINT.programs[::-1]))
    assert conflicts.of(HINT) == found
    assert conflicts.of(HINT) is not found, "one was enough to keep"
