"""Engines: the same seed gives the same hunt, and only their own freedom differs."""

from __future__ import annotations

from random import Random

import pytest

from tdxfuzz.check.run import run
from tdxfuzz.host.case import Case, World
from tdxfuzz.host.op import Op
from tdxfuzz.search import ENGINES
from tdxfuzz.search.footprint import Base
from tdxfuzz.search.hunt import Budget, Hunted, hunt
from tdxfuzz.search.pct import PriorityPolicy
from tdxfuzz.sim import Counter, Simulator

CASE = Case(
    "merged",
    World(cpus=2, tds=2, slots=1),
    tuple(map(Op.parse, ("create 0", "create 1", "map 0 0"))),
    ((Op.parse("map 1 0"),), (Op.parse("zap 0 0"),)),
)


def short_hunt(engine: str, seed: int) -> Hunted:
    return hunt("merged", ENGINES[engine](), seed, Budget(cases=120))


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
    base = Base(CASE)
    rng = Random(1)
    chooser = ENGINES[engine]()
    preempted = 0
    for _ in range(30):
        attempt = chooser.attempt(rng, base)
        if attempt.case.schedule.switches:
            again = run(attempt.case)
            assert again.outcome == attempt.outcome
        preempted += len(attempt.outcome.switches) > 2
    assert preempted > 10


def test_a_budget_of_time_ends_a_hunt() -> None:
    hunted = hunt("merged", ENGINES["random"](), 1, Budget(seconds=0.0))
    assert hunted.statistics.cases == 1


def test_the_first_finding_ends_a_hunt() -> None:
    hunted = hunt("hint", ENGINES["portfolio"](), 1, Budget(cases=5_000))
    assert hunted.found is not None
    assert hunted.statistics.cases < 5_000
    again = run(hunted.found.case.with_schedule(hunted.found.schedule))
    assert again.finding is not None
    assert hunted.found.finding is not None
    assert again.finding.bucket == hunted.found.finding.bucket


def run_with_priorities(priorities: list[int], points: list[int]) -> list[int]:
    sim = Simulator(2, PriorityPolicy(priorities, points))
    cell = Counter(sim, "x", 0)
    order: list[int] = []

    def body() -> None:
        for _ in range(3):
            cell.add(1)
            order.append(sim.current.id)

    sim.run([body, body])
    return order


@pytest.mark.parametrize(
    ("priorities", "points", "order"),
    [
        ([2, 1], [], [0, 0, 0, 1, 1, 1]),
        ([1, 2], [], [1, 1, 1, 0, 0, 0]),
        ([2, 1], [1], [0, 1, 1, 1, 0, 0]),
        ([2, 1], [1, 2], [0, 1, 0, 0, 1, 1]),
    ],
)
def test_pct_runs_the_highest_priority_and_drops_it_at_a_change_point(
    priorities: list[int], points: list[int], order: list[int]
) -> None:
    assert run_with_priorities(priorities, points) == order
