"""Designs side by side: the same programs, and counts that can be compared."""

from __future__ import annotations

import pytest

from tdxfuzz.engines.plan import Budget, HuntPlan, PlanError
from tdxfuzz.host.designs.v6 import V6
from tdxfuzz.run.session import run
from tdxfuzz.survey.compare import Comparison, compare

BUDGET = Budget(cases=15)


def compared(*names: str) -> Comparison:
    return compare([HuntPlan(name, BUDGET) for name in names])


def test_each_design_is_run_as_often_on_as_many_programs() -> None:
    comparison = compared("v6", "merged", "v4")
    assert comparison.cases == 15
    assert len({side.statistics.cases for side in comparison.sides}) == 1


def test_the_same_seed_gives_the_same_counts() -> None:
    one, other = compared("v6", "hint"), compared("v6", "hint")
    assert one.programs == other.programs
    for a, b in zip(one.sides, other.sides, strict=True):
        assert (a.broken, a.statistics.calls) == (b.broken, b.statistics.calls)


def test_a_comparison_that_is_interrupted_ends_between_two_programs() -> None:
    asked = iter(range(100))
    plans = [HuntPlan(name, BUDGET) for name in ("v6", "merged")]
    comparison = compare(plans, stop=lambda: next(asked) == 3)
    assert comparison.cases == 3
    assert len({side.statistics.cases for side in comparison.sides}) == 1


def test_a_design_is_the_same_as_itself_under_another_name() -> None:
    a, b = compare([HuntPlan("v6", BUDGET), HuntPlan("Again", BUDGET, design=V6)]).sides
    assert a.statistics.calls == b.statistics.calls
    assert a.statistics.steps == b.statistics.steps


def test_only_the_broken_design_is_said_to_be_broken() -> None:
    comparison = compared("v6", "rfc")
    assert set(comparison.programs) <= {frozenset(), frozenset({"rfc"})}
    assert comparison.programs[frozenset({"rfc"})] > 0
    rfc = comparison.sides[1]
    for bucket, found in rfc.first.items():
        finding = run(found.case).finding
        assert finding is not None
        assert finding.bucket == bucket


@pytest.mark.parametrize(
    ("plans", "reason"),
    [
        ([HuntPlan("v6", BUDGET)], "two designs or more, each named once"),
        ([HuntPlan("v6", BUDGET), HuntPlan("v6", BUDGET)], "two designs or more, each named once"),
        ([HuntPlan("v6", BUDGET), HuntPlan("v5", BUDGET, seed=2)], "differ in the design alone"),
    ],
)
def test_only_plans_that_can_be_compared_are(plans: list[HuntPlan], reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        compare(plans)
