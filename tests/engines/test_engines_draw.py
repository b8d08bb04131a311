"""What a plan draws: all kinds of programs soon, and no orders where there are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from random import Random

import pytest
from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS, with_cpus
from tdxfuzz.case.world import ALL_ENTRIES
from tdxfuzz.engines.draw import cases_of, orders_of, runs_of
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.engines.portfolio import Portfolio
from tdxfuzz.generate.huge_programs import EVERY_REAL, Huge
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.worlds import Worlds
from tiers import first_quick

BUDGET = Budget(cases=10)


def kind(case: Case) -> str:
    if any(case == scenario.case("merged") for scenario in SCENARIOS.values()):
        return "standard"
    if case.world.areas:
        return "2MB"
    slots = case.world.slots
    # Each range has a page of each guest, and two more serve the allocator: the world of a history.
    ranges = tuple(range(slots)), (slots, slots + 1)
    is_history = slots > 1 and (case.world.guest_ranges, case.world.kernel_ranges) == ranges
    return "history" if is_history else "short"


def kinds(plan: HuntPlan, count: int) -> Counter[str]:
    return Counter(kind(case) for case in islice(cases_of(plan, Random(plan.seed)), count))


@pytest.mark.parametrize("seed", first_quick(1, range(5)))
def test_the_first_hundreds_of_cases_hold_all_kinds(seed: int) -> None:
    plan = HuntPlan("merged", BUDGET, seed=seed)
    runs = runs_of(plan, Random(seed), Portfolio(), Worlds())
    assert {kind(run.case) for run in islice(runs, 300)} >= {"2MB", "history", "short"}


def test_the_share_of_2mb_pages_is_the_plans() -> None:
    def with_2mb(huge: Huge | None) -> int:
        cases = islice(cases_of(HuntPlan("merged", BUDGET, huge=huge), Random(1)), 100)
        return sum(case.world.areas > 0 for case in cases)

    assert with_2mb(None) == pytest.approx(20, abs=1)
    assert with_2mb(Huge(0.5)) == pytest.approx(50, abs=1)
    assert with_2mb(Huge(0)) == 0
    every = HuntPlan("merged", BUDGET, huge=EVERY_REAL)
    for case in islice(cases_of(every, Random(1)), 20):
        assert (case.world.areas, case.world.entries) == (1, ALL_ENTRIES)


def test_the_standard_scenarios_are_drawn_as_well() -> None:
    assert kinds(HuntPlan("merged", BUDGET), 100)["standard"] == pytest.approx(15, abs=3)
    drawn = list(islice(cases_of(HuntPlan("merged", BUDGET), Random(1)), 250))
    assert all(scenario.case("merged") in drawn for scenario in SCENARIOS.values())
    assert with_cpus(SCENARIOS["map-zap"], 3).case("merged") in list(islice(on_cpus(3), 250))
    assert all(case.world.cpus == 4 for case in islice(on_cpus(4), 50))


def on_cpus(cpus: int) -> Iterator[Case]:
    return cases_of(HuntPlan("merged", BUDGET, cpus=cpus), Random(1))


def test_a_share_is_from_0_to_1() -> None:
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="share"):
            Huge(wrong)


def test_on_one_cpu_a_program_is_run_once() -> None:
    plan = HuntPlan("merged", BUDGET, cpus=1)
    for case in islice(cases_of(plan, Random(1)), 10):
        assert orders_of(BaseRun(case)) == 0
    # A softirq is one to switch to.
    case = next(cases_of(HuntPlan("v5", BUDGET, cpus=1), Random(1)))
    assert orders_of(BaseRun(case)) > 0


def test_long_programs_get_fewer_orders_but_some() -> None:
    plan = HuntPlan("merged", BUDGET)
    bases = [BaseRun(case) for case in islice(cases_of(plan, Random(1)), 60)]
    shared = [base for base in bases if orders_of(base) > 4]
    assert max(orders_of(base) for base in shared) == 32
    long = max(bases, key=lambda base: base.length)
    assert long.length > 600
    assert 1 <= orders_of(long) < 10


def test_a_running_guest_that_meets_a_zap_is_worth_many_orders() -> None:
    """A kick, TRACK and BUSY of a guest need no 2MB range that both CPUs get or put."""
    scenario = SCENARIOS["zap-run"]
    entry, zaps = scenario.programs
    meets = evolve(scenario.case("merged"), programs=(entry, zaps[:1]))
    other = evolve(meets, programs=(entry, (Op("map", (1, 1)),)))
    worth = {name: orders_of(BaseRun(case, None)) for name, case in (("a", meets), ("b", other))}
    assert worth["a"] == 32
    assert worth["b"] <= 4
