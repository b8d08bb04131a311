"""Orders: which preemptions an engine tries, in which turn, and how often it finds a race."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations, product
from math import sqrt
from random import Random

import pytest

from sim.sim_toys import Counter
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.case.world import World
from tdxfuzz.engines import Engine
from tdxfuzz.engines.draw import other_orders
from tdxfuzz.engines.each_window import each_window
from tdxfuzz.engines.fair_pct import FairPct, FairPolicy
from tdxfuzz.engines.pct import Pct, PriorityPolicy
from tdxfuzz.engines.portfolio import Portfolio
from tdxfuzz.engines.random_walk import ANYWHERE, RandomWalk
from tdxfuzz.engines.windows import Windows
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.sim import EMPTY, End, Schedule, Simulator
from tiers import slow

CASE = Case(
    "merged",
    World(cpus=2, tds=2, slots=1),
    tuple(map(Op.parse, ("create 0", "create 1", "map 0 0"))),
    ((Op.parse("map 1 0"),), (Op.parse("zap 0 0"),)),
)


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


def test_a_fair_suffix_lets_everybody_go_on() -> None:
    """Under priorities alone a CPU that spins without saying so keeps the others out."""

    def run_to(bound: int, policy: PriorityPolicy) -> End:
        sim = Simulator(2, policy, bound=bound)
        flag, ready = Counter(sim, "flag", 0), Counter(sim, "ready", 0)

        def spins() -> None:
            while not flag.read():
                ready.read()

        def sets() -> None:
            flag.add(1)

        return sim.run([spins, sets]).end

    assert run_to(2_000, PriorityPolicy([2, 1], [])) is End.BOUND
    assert run_to(2_000, FairPolicy([2, 1], [], 10, Random(1))) is End.REST
    assert run_to(10, FairPolicy([2, 1], [], 10, Random(1))) is End.BOUND


def test_one_by_one_tries_every_window_once_then_pairs() -> None:
    base = BaseRun(CASE)
    engine, rng = Windows(), Random(3)
    every = {run.order for run in each_window(base.rerun, base.run, EMPTY, 1, 0)}
    tried = [each.order for each in other_orders(base, rng, engine, len(every) + 20)]
    single = [schedule for schedule in tried if len(schedule) == 1]
    assert tried[: len(single)] == single
    assert single != sorted(single, key=lambda schedule: schedule.switches), "from anywhere on"
    assert set(single) >= every, "once around"
    assert len(single) <= len(every) + 1, "the one in which it begins has two parts"
    assert all(len(schedule) == 2 for schedule in tried[len(single) :])
    assert len(set(tried)) == len(tried)


RACE = SCENARIOS["map-zap"].case("hint")
"""Its bug needs one preemption, and two CPUs take some hundred steps."""

ATTEMPTS = 1_200


def rate(engine: Engine, seed: int) -> float:
    """How often an engine finds the race."""
    base, rng = BaseRun(RACE), Random(seed)
    found = sum(each.finding is not None for each in other_orders(base, rng, engine, ATTEMPTS))
    return found / ATTEMPTS


def assert_drawn_with(chance: float, rates: list[float]) -> None:
    """Four standard deviations: a fair source misses that once in 16,000 times."""
    assert 0.02 < chance < 0.98, "or the test says nothing"
    deviation = sqrt(chance * (1 - chance) / ATTEMPTS)
    for each in rates:
        assert abs(each - chance) < 4 * deviation, (chance, rates)


def finds(policy: PriorityPolicy, base: BaseRun) -> bool:
    return base.rerun.run(policy=policy).finding is not None


@slow
def test_pct_finds_as_often_as_its_probability_says() -> None:
    base = BaseRun(RACE)
    draws = [
        finds(PriorityPolicy(list(priorities), [point]), base)
        for priorities in permutations((1, 2))
        for point in range(base.length)
    ]
    chance = sum(draws) / len(draws)
    assert chance >= 1 / (2 * base.length), "the paper's bound for depth 2"
    assert_drawn_with(chance, [rate(Pct(depth=2), seed) for seed in (1, 2)])
    assert_drawn_with(chance, [rate(FairPct(depth=2), 3)])


@slow
def test_the_random_walk_finds_as_often_as_its_probability_says() -> None:
    base = BaseRun(RACE)

    def hits(places: Iterable[tuple[int, int]]) -> float:
        found = [base.rerun.run(Schedule.of([place])).finding is not None for place in places]
        return sum(found) / len(found)

    anywhere = hits(product(range(base.length), range(2)))
    spoiling = [hits(places) for places in base.conflicts]
    chance = ANYWHERE * anywhere + (1 - ANYWHERE) * sum(spoiling) / len(spoiling)
    assert_drawn_with(chance, [rate(RandomWalk(((1,), (1,))), seed) for seed in (1, 2)])


@pytest.mark.parametrize("cpus", [1, 2])
def test_windows_ends_where_every_order_was_tried(cpus: int) -> None:
    """What comes again would be counted as a case, and show nothing."""
    few = World(cpus=cpus, tds=1, slots=1)
    programs = ((Op("destroy", (0,)),), (Op("create", (0,)),))[:cpus]
    base, engine = BaseRun(Case("merged", few, (), programs)), Windows()
    tried = list(other_orders(base, Random(1), engine, 2_000))
    assert len(tried) < 2_000
    orders = [each.case.schedule for each in tried]
    assert EMPTY not in orders
    assert len(set(orders)) == len(orders)
    assert engine.attempt(Random(1), base) is None

    in_portfolio = list(other_orders(base, Random(1), Portfolio(), 2 * len(tried) + 20))
    assert len(in_portfolio) == 2 * len(tried) + 20, "the others go on"


def test_the_portfolio_takes_its_engines_in_turn() -> None:
    def drawn(engine: Engine, attempts: int) -> list[Schedule]:
        base, rng = BaseRun(CASE), Random(5)
        return [each.order for each in other_orders(base, rng, engine, attempts)]

    assert drawn(Portfolio(), 1) == drawn(Windows(), 1)
    assert len(set(drawn(Portfolio(), 40))) > 10


def test_where_a_vcpu_was_kicked_windows_tries_a_second_preemption_at_once() -> None:
    """Singles alone would take the orders that a program of a hunt gets."""
    setup = ("create 0", "vcpu 0", "finalize 0", "map 0 0")
    programs = ((Op.parse("enter 0 0 accept:0,touch:0"),), (Op.parse("zap 0 0"),))
    case = Case("merged", World(cpus=2, tds=1, slots=1), tuple(map(Op.parse, setup)), programs)
    base, engine, rng = BaseRun(case), Windows(), Random(1)
    tried = [one for _ in range(14) if (one := engine.attempt(rng, base)) is not None]
    switches = [len(one.case.schedule.switches) for one in tried]
    assert switches[0] == 1
    assert 4 <= switches.count(2) <= 7
    orders = [one.order for _ in range(60) if (one := engine.attempt(rng, base)) is not None]
    assert len(set(orders)) == 60
