"""Bugs that must be found, within a budget of cases, whatever the seed."""

from __future__ import annotations

import pytest

from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import HYPOTHESIS, Budget, HuntPlan
from tdxfuzz.host.design import EIO, ENOMEM, PageCache, RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.designs.v6 import V6
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.testing.hypothesis_hunt import hunt_with_hypothesis
from tiers import first_quick, only_quick

HINT = "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"
BUDGET = Budget(cases=8_000)


@pytest.mark.parametrize("seed_number", first_quick(1, range(1, 6)))
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_finds_the_hint_race(engine: str, seed_number: int) -> None:
    found = hunt(HuntPlan("hint", BUDGET, engine=engine, seed=seed_number)).found
    assert found is not None
    assert found.finding is not None
    assert found.finding.bucket == HINT


@pytest.mark.parametrize("seed_number", first_quick(1, range(1, 4)))
def test_hypothesis_finds_the_hint_race(seed_number: int) -> None:
    plan = HuntPlan("hint", BUDGET, engine=HYPOTHESIS, seed=seed_number)
    found = hunt_with_hypothesis(plan).found
    assert found is not None
    assert found.finding is not None
    assert found.finding.bucket == HINT


def test_hypothesis_hunts_hostile_calls_to_the_end() -> None:
    plan = HuntPlan("hostile", Budget(cases=300), engine=HYPOTHESIS)
    statistics = hunt_with_hypothesis(plan).statistics
    assert statistics.cases == 300
    assert "linearizable" in statistics.checks
    assert len({leaf for leaf, _ in statistics.calls}) > 10
    twice = hunt_with_hypothesis(plan).statistics
    assert twice.table() == statistics.table()


class Unlocked(Merged):
    """The merged design as if the lock were not there."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_not_zero():
            return 0
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM
        if not self.pamt_add(pfn, pair).ok:
            self.free_pair(pair)
            return -EIO
        refcount.set(1)
        return 0

    def put(self, pfn: int, hint: bool = False) -> None:
        if self.refcount(pfn).dec_and_test():
            status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
            else:
                self.free_pair(pair)


class LooksBeforeItLocks(V6):
    """Decides before it has the lock that it is the first, and does not look again."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_not_zero():
            return 0
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM
        with self.pamt_lock:
            if self.pamt_add(pfn, pair).ok:
                refcount.set(1)
                return 0
        self.free_pair(pair)
        return -EIO


class CountsDownOutside(V6):
    """Takes the last reference away before it takes the lock: a get in between counts from 0."""

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        if not refcount.dec_and_test():
            return
        with self.pamt_lock:
            status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                return
        self.free_pair(pair)


class SetsBeforeItAdds(V6):
    """Lets others in on the fast path before the pair is there."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_not_zero():
            return 0
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM
        with self.pamt_lock:
            if refcount.inc_return() > 1:
                status = None
            else:
                status = self.pamt_add(pfn, pair)
                if status.ok:
                    return 0
        self.free_pair(pair)
        return 0 if status is None else -EIO


@pytest.mark.parametrize("seed_number", first_quick(1, [1, 2]))
@pytest.mark.parametrize(
    "layer",
    only_quick(
        [Unlocked, LooksBeforeItLocks, SetsBeforeItAdds],
        [Unlocked, LooksBeforeItLocks, CountsDownOutside, SetsBeforeItAdds],
    ),
)
def test_a_mistake_in_the_locking_is_found_and_shrunk(
    layer: type[RefcountLayer], seed_number: int
) -> None:
    found = hunt(HuntPlan("Mutant", BUDGET, design=layer, seed=seed_number)).found
    assert found is not None
    best = shrink(found, layer).run
    assert best.case.operations <= 4
    assert best.preemptions <= 2
