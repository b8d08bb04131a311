"""Bugs of 2MB pages: found in the revisions that have them, and gone where they were mended."""

from __future__ import annotations

import pytest

from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.generate.huge_programs import EVERY, Huge
from tdxfuzz.host.design import Pair, RefcountLayer
from tdxfuzz.host.designs.v5 import V5
from tdxfuzz.host.designs.v6 import V6
from tdxfuzz.host.kernel.lock import Spinlock
from tdxfuzz.run.result import Run
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import first_quick, slow

BUDGET = Budget(cases=12_000)

DEMOTE_BUSY = "unexpected-status/TDH.MEM.PAGE.DEMOTE/OPERAND_BUSY/-"
ADD_BUSY = "pamt-in-use/TDH.PHYMEM.PAMT.ADD/OPERAND_BUSY/range"
DRY = "cache-underflow/-/-/PAMT page"

CLASHES = {
    "v3": {ADD_BUSY, DRY},
    "v4": {ADD_BUSY, DRY},
    "v5": {ADD_BUSY, DEMOTE_BUSY},
}
"""DEMOTE locks the ranges of its pair, ADD its own: one of them is busy (reply to v5 30/45,
2026-06-11). A cache for one split is dry when the split is tried again."""


class V5Locked(V5):
    """v5 with the lock around DEMOTE."""

    def around_demote(self, pfn: int, pair: Pair) -> Spinlock:
        return self.pamt_lock


def clash(design: str, seed: int) -> Run:
    plan = HuntPlan(design, BUDGET, seed=seed, scenario=SCENARIOS["split-map"])
    found = hunt(plan).found
    assert found is not None
    assert found.finding is not None
    assert found.finding.bucket in CLASHES[design]
    return found


@pytest.mark.parametrize("seed", first_quick(1, [1, 3]))
@pytest.mark.parametrize("design", CLASHES)
def test_a_split_clashes_with_an_add(design: str, seed: int) -> None:
    clash(design, seed)


@slow
@pytest.mark.parametrize("seed", [1, 3])
@pytest.mark.parametrize("design", CLASHES)
def test_the_trace_of_a_clash_is_short(design: str, seed: int) -> None:
    best = shrink(clash(design, seed)).run
    assert best.finding is not None
    assert best.finding.bucket in CLASHES[design]
    assert (best.case.operations, best.preemptions) <= (2, 3)


@pytest.mark.parametrize("seed", first_quick(1, [4, 1]))
def test_it_is_found_without_a_scenario(seed: int) -> None:
    """In v5 itself the softirq is found first."""
    found = hunt(HuntPlan("v5-irqsave", BUDGET, seed=seed, huge=EVERY)).found
    assert found is not None
    assert found.finding is not None
    assert found.finding.status == "OPERAND_BUSY"


class UnlockedDemote(V6):
    """v6 without the lock around DEMOTE: breaks with 2MB pages only."""

    around_demote = RefcountLayer.around_demote  # type: ignore[assignment]


@slow
@pytest.mark.parametrize("seed", [1, 6])
def test_a_default_hunt_finds_what_breaks_with_2mb_pages_only(seed: int) -> None:
    plan = HuntPlan("UnlockedDemote", BUDGET, design=UnlockedDemote, seed=seed)
    found = hunt(plan).found
    assert found is not None
    assert found.case.world.areas


def test_without_2mb_pages_that_is_clean() -> None:
    plan = HuntPlan("UnlockedDemote", Budget(cases=300), design=UnlockedDemote, huge=Huge(0))
    assert hunt(plan).found is None


@pytest.mark.parametrize("design", first_quick(1, ["v6", "merged"]))
def test_with_the_lock_around_demote_all_orders_are_clean(design: str) -> None:
    verified = verify(SCENARIOS["split-map"].case(design), None, Bounds())
    assert verified.verdict is Verdict.PASS


def test_the_lock_is_what_mends_it() -> None:
    case = SCENARIOS["split-map"].case("v5")
    assert verify(case, None, Bounds()).verdict is Verdict.FAIL
    assert verify(case, V5Locked, Bounds()).verdict is Verdict.PASS


@pytest.mark.parametrize("cases", first_quick(1, [300, 1_500]))
@pytest.mark.parametrize(
    "design", first_quick(2, ["merged", "spin-on-busy", "v6-base", "v6", "global-rwlock"])
)
def test_a_hunt_of_the_others_finds_nothing(design: str, cases: int) -> None:
    result = hunt(HuntPlan(design, Budget(cases=cases), huge=EVERY))
    assert result.found is None
    assert result.statistics.busy or design not in ("spin-on-busy", "global-rwlock")
