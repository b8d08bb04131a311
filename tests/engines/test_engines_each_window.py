"""Windows: they are few, and show what trying every step shows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from random import Random

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.engines.each_window import each_window
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.run.footprint import conflicts_of
from tdxfuzz.run.result import Run
from tdxfuzz.run.worlds import Rerun
from tdxfuzz.sim import EMPTY, Schedule
from tiers import slow

SETUP = tuple(map(Op.parse, ("create 0", "create 1", "map 0 0")))
WORLD = World(cpus=2, tds=2, slots=1)
HINT = Case("hint", WORLD, SETUP, ((Op.parse("map 1 0"),), (Op.parse("zap 0 0"),)))


def every(case: Case, first: int = 0, last: int | None = None) -> list[Run]:
    rerun = Rerun(case)
    return list(each_window(rerun, rerun.run(), EMPTY, 1, first, last))


def places(runs: Sequence[Run]) -> list[int]:
    return [run.case.schedule.switches[0].step for run in runs]


def buckets(runs: Sequence[Run]) -> set[str]:
    return {run.finding.bucket for run in runs if run.finding is not None}


def by_trying(case: Case) -> set[str]:
    """The buckets of all orders with one switch from the first CPU to the second."""
    rerun = Rerun(case)
    steps = rerun.run().outcome.steps
    return buckets([rerun.run(Schedule.of([(step, 1)])) for step in range(steps)])


def test_the_windows_of_a_small_case() -> None:
    found = every(HINT)
    steps = Rerun(HINT).run().outcome.steps
    assert (len(found), steps) == (33, 217)
    assert places([run for run in found if run.finding is not None]) == [119, 120, 124, 132]


def test_a_cpu_alone_has_none() -> None:
    assert every(Case("hint", WORLD, SETUP, ((Op.parse("map 1 0"),), ()))) == []


def test_nobody_is_preempted_by_whoever_runs_already() -> None:
    rerun = Rerun(HINT)
    assert list(each_window(rerun, rerun.run(), EMPTY, 0, 0)) == []


def test_a_run_is_that_of_its_schedule() -> None:
    for found in every(HINT):
        again = Rerun(HINT).run(found.case.schedule)
        assert again.outcome == found.outcome
        assert again.findings == found.findings
        assert (again.case, again.order) == (found.case, found.order)
        assert again.preemptions == found.preemptions


def test_from_anywhere_once_around_is_all() -> None:
    everything = places(every(HINT))
    for start in range(0, everything[-1], 7):
        behind, before = places(every(HINT, start)), places(every(HINT, 0, start - 1))
        assert behind[0] >= start
        assert [place for place in everything if place > behind[0]] == behind[1:]
        assert [place for place in everything if place < start] == before


def case(design: str, setup: str, *programs: str) -> Case:
    def ops(text: str) -> tuple[Op, ...]:
        return tuple(map(Op.parse, text.split("; ")))

    return Case(design, WORLD, ops(setup), tuple(map(ops, programs)))


@pytest.mark.parametrize(
    ("tried", "missed_by_footprint"),
    [
        (case("hint", "create 0; create 1; map 0 0", "zap 0 0; map 0 0", "map 1 0; zap 1 0"), 0),
        (
            case(
                "hint-retry",
                "create 0; create 1; map 0 0; map 1 0",
                "zap 0 0; map 0 0",
                "zap 1 0; map 1 0; zap 1 0",
            ),
            1,
        ),
        (case("v4", "create 0; create 1; map 0 0", "zap 0 0; map 0 0", "map 1 0; zap 1 0"), 1),
        (case("early-inc", "create 0; create 1", "map 0 0", "map 1 0"), 0),
    ],
    ids=lambda value: value.design if isinstance(value, Case) else "",
)
def test_whatever_any_step_shows_a_window_shows(tried: Case, missed_by_footprint: int) -> None:
    """The footprint of the order without the preemption misses what b does when a is halfway."""
    wanted, rerun = by_trying(tried), Rerun(tried)
    assert wanted
    assert buckets(every(tried)) >= wanted
    mattering = {place for cell in conflicts_of(rerun) for place in cell}
    of_footprint = buckets([rerun.run(Schedule.of([place])) for place in mattering])
    assert len(wanted - of_footprint) == missed_by_footprint
    assert len(every(tried)) < len(mattering)


@slow
def test_of_programs_at_random_none_shows_more_when_every_step_is_tried() -> None:
    source = RandomChoices(Random(1))
    drawn = (draw_case(source, "hint") for _ in range(300))
    small = (case for case in drawn if 40 < Rerun(case).run().outcome.steps < 260)
    with_bug = 0
    for each in islice(small, 12):
        wanted = by_trying(each)
        assert buckets(every(each)) >= wanted
        with_bug += bool(wanted)
    assert with_bug
