"""Hunts: each engine does the same again with the same seed, and a hunt ends when it should."""

from __future__ import annotations

import random
from random import Random

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.draw import other_orders
from tdxfuzz.engines.hunt import HuntLog, HuntResult, hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.session import run
from tdxfuzz.sim import HarnessError
from tiers import slow

CASE = Case(
    "merged",
    World(cpus=2, tds=2, slots=1),
    tuple(map(Op.parse, ("create 0", "create 1", "map 0 0"))),
    ((Op.parse("map 1 0"),), (Op.parse("zap 0 0"),)),
)


def short_hunt(engine: str, seed: int) -> HuntResult:
    return hunt(HuntPlan("merged", Budget(cases=120), engine=engine, seed=seed))


@pytest.mark.parametrize("engine", ENGINES)
def test_seed_and_cases_determine_the_hunt(engine: str) -> None:
    one, other = short_hunt(engine, 7).statistics, short_hunt(engine, 7).statistics
    assert one.cases == 120
    assert (one.steps, one.distinct_schedules, one.table(), one.witnesses()) == (
        other.steps,
        other.distinct_schedules,
        other.table(),
        other.witnesses(),
    )
    assert one.steps != short_hunt(engine, 8).statistics.steps


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_engine_ran_replays_from_its_schedule(engine: str) -> None:
    base = BaseRun(CASE)
    rng = Random(1)
    chooser = ENGINES[engine]()
    preempted = 0
    for attempt in other_orders(base, rng, chooser, 30):
        if attempt.case.schedule.switches:
            again = run(attempt.case)
            assert again.outcome == attempt.outcome
        preempted += len(attempt.outcome.switches) > 2
    assert preempted > 10


def test_a_budget_of_time_ends_a_hunt() -> None:
    result = hunt(HuntPlan("merged", Budget(seconds=0.0), engine="random"))
    assert result.statistics.cases == 1


def test_runs_that_did_not_end_come_in_the_order_of_the_hunt() -> None:
    """However many workers there are."""
    ended = run(CASE)
    blocks = [{"a": ended}, {"c": ended, "a": run(CASE)}, {"b": ended}]
    plan = HuntPlan("merged", Budget(cases=1_000))
    log = HuntLog(plan, ())
    for block in blocks:
        log.merge(HuntResult(Statistics(), cut_off=block))
    cut_off = log.result(False).cut_off
    assert list(cut_off) == ["a", "c", "b"]
    assert cut_off["a"] is ended


def test_the_first_finding_ends_a_hunt() -> None:
    result = hunt(HuntPlan("hint", Budget(cases=5_000)))
    assert result.found is not None
    assert result.statistics.cases < 5_000
    again = run(result.found.case)
    assert again.finding is not None
    assert result.found.finding is not None
    assert again.finding.bucket == result.found.finding.bucket


class SeldomRandom(Merged):
    """Of many puts, some few read the count once more."""

    def put(self, pfn: int, hint: bool = False) -> None:
        if random.random() < 0.02:
            self.refcount(pfn).read()
        super().put(pfn)


@slow
def test_a_design_that_is_seldom_random_is_noticed() -> None:
    random.seed(3)
    plan = HuntPlan("SeldomRandom", Budget(cases=2_000), design=SeldomRandom, seed=1)
    with pytest.raises(HarnessError, match="SeldomRandom is not deterministic"):
        hunt(plan)
