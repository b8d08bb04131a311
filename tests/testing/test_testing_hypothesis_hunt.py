"""The hunt with Hypothesis says of a design what the other hunts say, and so do tests."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from tdxfuzz.case.case import Case
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.draw import MOST_FAILED
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import HYPOTHESIS, Budget, HuntPlan
from tdxfuzz.host.design import ENOMEM, PageCache, RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.blame import NotDeterministicError
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.session import SetupError
from tdxfuzz.stateful import concurrent_machine
from tdxfuzz.testing import run_cache
from tdxfuzz.testing.assertions import OUT, BrokenAtOnce, assert_clean
from tdxfuzz.testing.hypothesis_hunt import hunt_with_hypothesis
from tdxfuzz.testing.strategies import bases, cases, schedules
from tiers import slow

SEARCHES = {"portfolio": hunt, HYPOTHESIS: hunt_with_hypothesis}

QUICK = settings(max_examples=60, database=None, derandomize=True, deadline=None)


class Guesses(Merged):
    """Looks at the count now and then, as it comes."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        if random.random() < 0.5:
            self.refcount(pfn).read()
        return super().get(pfn, cache)


class Small(Merged):
    """Has no memory left for control pages in the last range, so many worlds cannot be set up."""

    last = 3

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        if cache is not None or pfn >> 9 & 7 < self.last:
            return super().get(pfn, cache)
        pairs = []
        while pair := self.alloc_pair():
            pairs.append(pair)
        for pair in pairs:
            self.free_pair(pair)
        return -ENOMEM


class Full(Small):
    """Has no memory for any."""

    last = 0


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of a design from another test."""
    monkeypatch.setenv(OUT, str(tmp_path))
    run_cache.forget()


def plan(design: type[RefcountLayer], engine: str, cases: int = 200) -> HuntPlan:
    return HuntPlan(design.__name__, Budget(cases=cases), design=design, engine=engine)


@pytest.mark.parametrize("engine", SEARCHES)
def test_a_design_that_is_not_deterministic_is_told(engine: str) -> None:
    with pytest.raises(NotDeterministicError, match="Guesses is not deterministic"):
        SEARCHES[engine](plan(Guesses, engine))


@pytest.mark.parametrize("engine", SEARCHES)
def test_a_set_up_that_fails_is_left_out(engine: str) -> None:
    result = SEARCHES[engine](plan(Small, engine, cases=100))
    assert result.statistics.cases == 100


@pytest.mark.parametrize("engine", SEARCHES)
def test_a_hunt_gives_up_if_no_set_up_succeeds(engine: str) -> None:
    with pytest.raises(SetupError, match="must succeed"):
        SEARCHES[engine](plan(Full, engine))


@pytest.mark.parametrize("engine", SEARCHES)
def test_the_set_up_of_a_scenario_must_succeed(engine: str) -> None:
    of_scenario = HuntPlan(
        "Full", Budget(cases=9), design=Full, engine=engine, scenario=SCENARIOS["map-zap"]
    )
    with pytest.raises(SetupError, match="must succeed"):
        SEARCHES[engine](of_scenario)


@slow
def test_a_test_leaves_out_examples_whose_set_up_fails() -> None:
    clean, drawn = 0, 0

    @QUICK
    @given(cases(Small))
    def test(case: Case) -> None:
        nonlocal clean, drawn
        drawn += 1
        assert_clean(case, orders=1)
        clean += 1

    test()
    assert 10 < clean < drawn

    @QUICK
    @given(bases(Small), st.data())
    def test_of_bases(base: BaseRun, data: st.DataObject) -> None:
        base.rerun.run(data.draw(schedules(base)))

    test_of_bases()
    run_state_machine_as_test(concurrent_machine(Small), settings=settings(QUICK, max_examples=20))


def test_a_test_fails_if_no_set_up_succeeds() -> None:
    drawn = 0

    def test(case: Case) -> None:
        nonlocal drawn
        drawn += 1
        assert_clean(case, orders=1)

    with pytest.raises(BrokenAtOnce, match="must succeed"):
        QUICK(given(cases(Full))(test))()
    assert drawn == MOST_FAILED
    with pytest.raises(SetupError, match="must succeed"):
        settings(QUICK, phases=[Phase.generate])(given(cases(Full))(test))()


def test_a_set_up_that_a_test_asked_for_by_itself_must_succeed() -> None:
    with pytest.raises(SetupError, match="must succeed"):
        assert_clean(SCENARIOS["map-zap"].case("Full"), Full)


@slow
def test_a_test_of_a_design_that_is_not_deterministic_says_so() -> None:
    @QUICK
    @given(cases(Guesses))
    def test(case: Case) -> None:
        assert_clean(case, orders=1)

    with pytest.raises(BrokenAtOnce, match="Guesses is not deterministic"):
        test()
    with pytest.raises(BrokenAtOnce, match="Guesses is not deterministic"):
        run_state_machine_as_test(concurrent_machine(Guesses), settings=QUICK)
