"""Designs that remove pairs late: their mistakes show after a history, and a hunt gets there."""

from __future__ import annotations

import pytest

from lazy_designs import BROKEN, SOUND
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.generate.huge_programs import Huge
from tdxfuzz.host.design import PageCache, RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import first_quick, slow

BUDGET = Budget(cases=6_000)


@pytest.mark.parametrize("seed", first_quick(1, range(1, 6)))
@pytest.mark.parametrize("cpus", first_quick(1, [1, 2]))
@pytest.mark.parametrize("layer", BROKEN)
def test_a_mistake_that_needs_a_history_is_found(
    layer: type[RefcountLayer], cpus: int, seed: int
) -> None:
    """Without 2MB pages too: the history alone does it."""
    plan = HuntPlan(layer.__name__, BUDGET, design=layer, seed=seed, cpus=cpus, huge=Huge(0))
    assert hunt(plan).found is not None


@slow
@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("layer", SOUND)
def test_removing_late_is_no_mistake(layer: type[RefcountLayer], cpus: int) -> None:
    plan = HuntPlan(layer.__name__, Budget(cases=600), design=layer, cpus=cpus)
    assert hunt(plan).found is None


@pytest.mark.parametrize("layer", SOUND)
def test_verify_agrees(layer: type[RefcountLayer]) -> None:
    case = SCENARIOS["zap-map-zap"].case(layer.__name__)
    assert verify(case, layer, Bounds()).verdict is Verdict.PASS


def test_the_scenario_finds_a_batch_that_does_not_look_again() -> None:
    batch = BROKEN[0]
    case = SCENARIOS["zap-map-zap"].case(batch.__name__)
    assert verify(case, batch, Bounds()).verdict is Verdict.FAIL


class CountsGets(Merged):
    """A counter of all gets, a little below the end of its 32 bits."""

    BELOW = 40

    def setup(self) -> None:
        super().setup()
        self.gets = self.atomic("gets", (1 << 31) - 1 - self.BELOW)

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        if self.gets.inc_return() < 0:
            self.warn("the counter ran over")
        return super().get(pfn, cache)


class CountsGetsIn64Bits(CountsGets):
    """The same with room."""

    def setup(self) -> None:
        Merged.setup(self)
        self.gets = self.atomic64("gets", (1 << 31) - 1 - self.BELOW)


def test_a_counter_that_runs_over_is_found() -> None:
    found = hunt(HuntPlan("CountsGets", BUDGET, design=CountsGets)).found
    assert found is not None
    assert found.finding is not None
    assert "the counter ran over" in found.finding.message
    plan = HuntPlan("CountsGetsIn64Bits", Budget(cases=300), design=CountsGetsIn64Bits)
    assert hunt(plan).found is None
