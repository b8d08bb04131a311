"""Primitives that designs are written with: right designs are clean, mistakes are found."""

from __future__ import annotations

import pytest

from primitive_designs import (
    Batched,
    BatchedTwice,
    BatchedUnchecked,
    Counted,
    CountedFromZero,
    RemovedOutside,
)
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.kernel.refcount_t import SATURATED, RefcountT
from tdxfuzz.sim import Simulator
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import slow

RIGHT = (Counted, Batched)

WITHOUT_2MB = [scenario for scenario in SCENARIOS.values() if not scenario.world.areas]


@pytest.mark.parametrize("design", RIGHT)
@pytest.mark.parametrize("name", ["zap-zap", "zap-remap"])
def test_a_right_design_is_clean_in_every_order(design: type[RefcountLayer], name: str) -> None:
    case = SCENARIOS[name].case(design.__name__)
    result = verify(case, design, Bounds(2))
    assert result.found is None
    assert result.verdict is Verdict.PASS or "vacuous" in result.why


@slow
@pytest.mark.parametrize("design", RIGHT)
def test_a_right_design_is_clean_in_hunts(design: type[RefcountLayer]) -> None:
    for scenario in WITHOUT_2MB:
        budget = Budget(cases=60)
        plan = HuntPlan(design.__name__, budget, design=design, scenario=scenario)
        assert not hunt(plan).findings, scenario.name


@pytest.mark.parametrize(
    ("design", "said"),
    [
        (CountedFromZero, "refcount_t: addition on 0; use-after-free"),
        pytest.param(RemovedOutside, "lockdep_assert_held(pamt_lock)", marks=slow),
        pytest.param(BatchedUnchecked, "", marks=slow),
        pytest.param(BatchedTwice, "is in idle ranges already", marks=slow),
    ],
)
def test_a_mistake_is_found(design: type[RefcountLayer], said: str) -> None:
    messages = []
    for scenario in WITHOUT_2MB:
        plan = HuntPlan(design.__name__, Budget(cases=300), design=design, scenario=scenario)
        found = hunt(plan).found
        if found is not None and found.finding is not None:
            messages.append(found.finding.message)
    assert any(said in message for message in messages), messages


def test_a_refcount_sticks_where_it_would_free_too_early() -> None:
    warnings: list[str] = []
    count = RefcountT(Simulator(1), "count", 1, warnings.append)
    assert count.dec_and_test()
    assert not warnings
    assert not count.dec_and_test()
    assert warnings == ["refcount_t: underflow; use-after-free"]
    assert count.read() == SATURATED
    count.inc()
    assert count.inc_not_zero()
    assert count.read() == SATURATED


def test_the_last_reference_is_not_to_be_dropped_untested() -> None:
    warnings: list[str] = []
    RefcountT(Simulator(1), "count", 1, warnings.append).dec()
    assert warnings == ["refcount_t: decrement hit 0; leaking memory"]
