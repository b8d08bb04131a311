"""Nothing is found where nothing is wrong, and nothing seen where nothing happened."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve

from broken_designs import LosesBitmapBit
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.check import CHECKS
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.run.result import Contention
from tdxfuzz.run.session import SetupError, run
from tdxfuzz.sim import End, Schedule
from tiers import first_quick

WORLD = World(cpus=2, tds=2, slots=2)
SETUP = tuple(map(Op.parse, ("create 0", "create 1", "map 0 0")))


def meeting(design: str) -> Case:
    programs = ((Op.parse("map 1 0"),), (Op.parse("zap 0 0"),))
    return Case(design, WORLD, SETUP, programs)


@pytest.mark.parametrize("design", ["v6", "merged"])
def test_no_single_preemption_breaks_a_sound_design(design: str) -> None:
    case = meeting(design)
    steps = run(case).outcome.steps
    for step in range(steps):
        result = run(case.with_schedule(Schedule.of([(step, 1)])))
        assert result.finding is None, f"preempted at {step}: {result.finding}"
        assert result.outcome.end is End.REST


def test_an_empty_run_is_a_witness_of_nothing() -> None:
    assert run(Case("merged", WORLD)).seen == frozenset()


def test_every_witness_occurs_in_some_order_of_a_crowded_program() -> None:
    case = meeting("merged")
    steps = run(case).outcome.steps
    seen: set[str] = set()
    for step in range(steps):
        seen |= run(case.with_schedule(Schedule.of([(step, 1)]))).seen
    assert seen == set(CHECKS) - {"livelock"}, "which needs two vCPUs that fault on one page"
    faults = evolve(case, programs=((Op.parse("map 0 1"),), (Op.parse("map 0 1"),)))
    steps = run(faults).outcome.steps
    for step in range(steps):
        seen |= run(faults.with_schedule(Schedule.of([(step, 1)]))).seen
    assert seen == set(CHECKS)


def test_a_run_is_cut_off_by_its_bound_and_then_says_nothing() -> None:
    case = Case("merged", WORLD, SETUP, ((Op.parse("map 1 0"),), ()), steps=20)
    result = run(case)
    assert result.outcome.end is End.BOUND
    assert result.findings == ()
    assert result.cut_off is not None


def test_programs_in_different_worlds_do_not_meet() -> None:
    apart = Case("merged", WORLD, SETUP, ((Op.parse("zap 0 1"),), (Op.parse("zap 1 1"),)))
    assert run(apart).contention is Contention.NONE
    assert run(meeting("merged")).contention is Contention.EDGE


def test_a_setup_that_fails_is_no_run() -> None:
    with pytest.raises(SetupError, match="'create 0' failed: -EEXIST; it must succeed"):
        run(Case("merged", WORLD, (Op.parse("create 0"), Op.parse("create 0"))))


def test_tracing_changes_nothing() -> None:
    case = meeting("hint").with_schedule(Schedule.of([(60, 1), (90, 0)]))
    plain, traced = run(case), run(case, traced=True)
    assert plain.trace is None
    assert traced.trace is not None
    assert (plain.outcome, plain.calls, plain.order, plain.preemptions) == (
        traced.outcome,
        traced.calls,
        traced.order,
        traced.preemptions,
    )
    assert [f.bucket for f in plain.findings] == [f.bucket for f in traced.findings]


def test_without_dynamic_pamt_nothing_is_wrong_either() -> None:
    static = evolve(WORLD, dynamic_pamt=False)
    programs = (
        (Op.parse("map 1 0"), Op.parse("destroy 1")),
        (Op.parse("zap 0 0"), Op.parse("create 0")),
    )
    result = run(Case("merged", static, SETUP, programs))
    assert result.finding is None
    assert "module-state" in result.seen


def test_a_careful_run_compares_the_modules_tables_after_every_call() -> None:
    case = Case("Broken", World(cpus=1, tds=1, slots=1), (), ((Op.parse("create 0"),),))
    at_rest = run(case, LosesBitmapBit).finding
    at_once = run(case, LosesBitmapBit, careful=True).finding
    assert at_rest is not None
    assert at_once is not None
    assert at_rest.bucket == "module-state/-/-/bitmap"
    assert at_once.bucket == "module-state/TDH.PHYMEM.PAMT.ADD/SUCCESS/bitmap"
    assert at_once.step < at_rest.step


NEVER_AT_REST = "v3-base"
"""Its runs end early; a run notes at rest that it compared the tables."""


@pytest.mark.parametrize("design", first_quick(10, DESIGNS))
def test_the_models_tables_agree_after_every_call(design: str) -> None:
    rng = Random(5)
    compared = 0
    for _ in range(40):
        result = run(draw_case(RandomChoices(rng), design, 2), careful=True)
        assert "module-state" not in {finding.check for finding in result.findings}
        compared += "module-state" in result.seen
    assert compared > 30 or design == NEVER_AT_REST
