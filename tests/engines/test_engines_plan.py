"""A hunt's plan: what it refuses, and what it makes of a case."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import SCENARIOS, with_cpus
from tdxfuzz.engines.draw import cases_of
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import HYPOTHESIS, Budget, HuntPlan, PlanError
from tdxfuzz.generate.huge_programs import EVERY, EVERY_REAL
from tdxfuzz.module.variants import DEFAULT, VARIANTS
from tdxfuzz.testing.hypothesis_hunt import hunt_with_hypothesis

BUDGET = Budget(cases=10)
MAP_ZAP = SCENARIOS["map-zap"]
OTHER_VARIANT = next(name for name in VARIANTS if name != DEFAULT.name)


@pytest.mark.parametrize(
    ("design", "options", "names", "reason"),
    [
        (HOSTILE, {"scenario": MAP_ZAP}, {HOSTILE, "--scenario"}, "hostile takes no --scenario"),
        ("v6", {"huge": EVERY, "scenario": MAP_ZAP}, {"--huge", "--scenario"}, "draws its own"),
        (HOSTILE, {"huge": EVERY}, {"--huge", HOSTILE}, "--huge draws its own programs"),
        (
            "v6",
            {"huge": EVERY_REAL, "engine": HYPOTHESIS},
            {"--huge", "--engine"},
            "without --sce",
        ),
        (
            "v6",
            {"faults": ("alloc",), "engine": HYPOTHESIS},
            {"--faults"},
            "works only without host",
        ),
        (HOSTILE, {"faults": ("alloc",)}, {"--faults", HOSTILE}, "--faults works only without"),
        (
            "v6",
            {"cpus": 3, "scenario": MAP_ZAP},
            {"--cpus", "--scenario"},
            "map-zap: it has 2",
        ),
        ("v6", {"cpus": 9}, {"--cpus"}, "--cpus 9: from 1 to 8"),
        ("v6", {"cpus": 0}, {"--cpus"}, "--cpus 0: from 1 to 8"),
        ("v6", {"engine": "none"}, {"--engine"}, "--engine none: unknown; known: portfolio, "),
        ("v6", {"variant": "none"}, {"--module-variant"}, "--module-variant none: unknown; "),
        (
            "v6",
            {"faults": ("none",)},
            {"--faults"},
            "--faults none: unknown kind 'none'; known: alloc, ",
        ),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    design: str, options: dict[str, object], names: set[str], reason: str
) -> None:
    with pytest.raises(PlanError, match=reason) as refused:
        HuntPlan(design, BUDGET, **options)  # type: ignore[arg-type]
    assert names <= set(refused.value.options)
    assert "\n" not in refused.value.reason


def test_a_scenario_brings_its_own_cpus() -> None:
    three = with_cpus(MAP_ZAP, 3)
    assert HuntPlan("v6", BUDGET).world_cpus == 2
    assert HuntPlan("v6", BUDGET, cpus=4).world_cpus == 4
    assert HuntPlan("v6", BUDGET, scenario=three).world_cpus == 3
    assert HuntPlan("v6", BUDGET, scenario=three, cpus=3).world_cpus == 3


def test_every_case_is_on_the_module_and_under_the_checks_of_the_plan() -> None:
    for scenario in (None, MAP_ZAP):
        plan = HuntPlan(
            "v6", BUDGET, cpus=None, scenario=scenario, variant=OTHER_VARIANT, checks=("refcount",)
        )
        for case in islice(cases_of(plan, Random(1)), 5):
            assert case.world.module_variant == OTHER_VARIANT
            assert case.checks == ("refcount",)


def test_checks_that_do_not_listen_find_nothing_and_are_not_missed() -> None:
    for engine, search in (("portfolio", hunt), (HYPOTHESIS, hunt_with_hypothesis)):
        plan = HuntPlan("hint", Budget(cases=150), engine=engine, checks=("page-leak",))
        result = search(plan)
        assert result.found is None
        assert set(result.statistics.unseen()) <= {"page-leak"}


def test_faults_strike_in_every_case() -> None:
    plan = HuntPlan("v6", BUDGET, faults=("entropy",))
    for case in islice(cases_of(plan, Random(1)), 20):
        assert any(fault.kind == "entropy" for fault in case.faults)


def test_the_plan_says_which_hunt_it_is_for() -> None:
    with pytest.raises(PlanError, match="hypothesis does not choose orders alone"):
        hunt(HuntPlan("v6", BUDGET, engine=HYPOTHESIS))
    with pytest.raises(PlanError, match="--engine portfolio is not hypothesis"):
        hunt_with_hypothesis(HuntPlan("v6", BUDGET))


def test_a_budget_says_what_it_is_in_words() -> None:
    assert str(Budget(seconds=60.0)) == "up to 60 s"
    assert str(Budget(seconds=1.5, cases=20)) == "up to 1.5 s or 20 cases"
    assert str(Budget()) == "without a limit"
