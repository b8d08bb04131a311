"""What a plan comes to: cases without end, each run in as many orders as it is worth."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.engines.engine import Engine
from tdxfuzz.engines.plan import HuntPlan
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.hostile_calls import draw_hostile
from tdxfuzz.generate.huge_programs import draw_huge_case
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Contention, Run
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import Fault

ORDERS = {Contention.NONE: 1, Contention.SHARED: 4, Contention.EDGE: 32}
"""Orders tried of a program besides the default one. Few where no 2MB range is in get or put of
two CPUs: little can be found there."""

HOSTILE_ORDERS = 12
"""Orders tried of raw SEAMCALLs that touch something in common."""

MOST_INDEX = 60
"""A fault strikes at one of the first so many occasions."""


def cases_of(plan: HuntPlan, rng: Random) -> Iterator[Case]:
    """The cases of a plan, without end, in the default order."""
    scenario = plan.scenario
    fixed = None if scenario is None else plan.prepared(scenario.case(plan.design_name))
    drawn = _drawn(plan, RandomChoices(rng))
    while True:
        case = fixed or plan.prepared(next(drawn))
        yield _with_faults(rng, case, plan.faults)


def runs_of(plan: HuntPlan, rng: Random, engine: Engine, worlds: Worlds) -> Iterator[Run]:
    """Each case of a plan in the default order, and in as many others as it is worth.

    Args:
        plan: its budget is not looked at.
        rng: makes all choices.
        engine: chooses the orders.
        worlds: of the plan's design; the cases are run there.

    Raises:
        HarnessError: the design misused the harness, or raised.
    """
    for case in cases_of(plan, rng):
        base = BaseRun(case, worlds.design, worlds)
        yield base.run
        for _ in range(orders_of(base)):
            yield engine.attempt(rng, base)


def orders_of(base: BaseRun) -> int:
    """How many orders of a program are worth trying besides the default one."""
    if base.run.case.design == HOSTILE:
        return HOSTILE_ORDERS if base.conflicts else 0
    return ORDERS[base.run.contention]


def _drawn(plan: HuntPlan, choices: RandomChoices) -> Iterator[Case]:
    while True:
        if plan.is_hostile:
            yield draw_hostile(choices, plan.world_cpus)
        elif plan.huge is not None:
            yield draw_huge_case(choices, plan.design_name, plan.huge, plan.world_cpus)
        else:
            yield draw_case(choices, plan.design_name, plan.world_cpus)


def _with_faults(rng: Random, case: Case, kinds: tuple[str, ...]) -> Case:
    """A case in which one or two things more go wrong, of the given kinds if there are any."""
    if not kinds:
        return case
    faults = {
        Fault(rng.choice(kinds), rng.randrange(MOST_INDEX)) for _ in range(rng.choice((1, 2)))
    }
    return evolve(case, faults=(*case.faults, *sorted(faults - set(case.faults))))
