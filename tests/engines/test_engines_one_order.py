"""A run has one order: whatever engine chose it, the same order makes the same run again."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from tdxfuzz.case.faults import KINDS
from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.draw import cases_of, runs_of
from tdxfuzz.engines.fair_pct import FairPolicy
from tdxfuzz.engines.pct import draw_priorities
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import Schedule, Switch
from tiers import first_quick

WITH_SOFTIRQS = "v5"


def runs(plan: HuntPlan, seed: int, most: int) -> list[Run]:
    """The first runs that a plan comes to, with those in which a CPU was switched to."""
    drawn = runs_of(plan, Random(seed), plan.new_engine(), Worlds(plan.design))
    return [next(drawn) for _ in range(most)]


@pytest.mark.parametrize("most", first_quick(1, [15, 60]))
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cpus", [2, 3])
@pytest.mark.parametrize("faults", [(), KINDS], ids=["no faults", "faults"])
def test_its_order_makes_any_run_again(
    engine: str, cpus: int, faults: tuple[str, ...], most: int
) -> None:
    designs = list(DESIGNS)
    preempted = 0
    for seed in range(6):
        design = WITH_SOFTIRQS if seed == 0 else designs[(seed * 7 + cpus) % len(designs)]
        plan = HuntPlan(design, Budget(cases=1), engine=engine, cpus=cpus, faults=faults)
        worlds = Worlds()
        for first in runs(plan, seed, most):
            assert worlds.run(first.case) == first
            preempted += first.preemptions
    assert preempted


@pytest.mark.parametrize("design", ["hint-retry", "v3", WITH_SOFTIRQS])
def test_the_trace_of_a_fair_run_is_that_of_its_order(design: str) -> None:
    plan = HuntPlan(design, Budget(cases=1), cpus=3)
    rng = Random(5)
    departures = 0
    for case in islice(cases_of(plan, rng), 30):
        base = BaseRun(case)
        policy = FairPolicy(*draw_priorities(rng, base, 3), 5, rng)
        found = base.rerun.run(policy=policy, traced=True)
        assert base.rerun.run(found.order, traced=True) == found
        departures += len(found.order)
    assert departures > 100


def test_two_switches_at_one_step_are_taken_one_after_the_other() -> None:
    plan = HuntPlan("merged", Budget(cases=1), cpus=3)
    base = next(r for r in runs(plan, 1, most=60) if all(r.case.programs))
    both = Schedule((Switch(3, 1), Switch(3, 2)))
    found = run(base.case.with_schedule(both))
    assert found.order.switches[:2] == both.switches
    assert found.outcome.switches[1:3] == ((3, 1), (3, 2))
