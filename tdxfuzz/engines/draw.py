"""What a plan comes to: cases without end, each run in as many orders as it is worth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import chain, cycle, islice, repeat
from random import Random

from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import SCENARIOS, with_cpus
from tdxfuzz.engines.engine import Engine
from tdxfuzz.engines.plan import HuntPlan
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.histories import draw_history
from tdxfuzz.generate.hostile_calls import draw_hostile
from tdxfuzz.generate.huge_programs import Huge, draw_huge_case
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.generate.running import SHARE, guest_meets_host, with_running_tds
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Contention, Run
from tdxfuzz.run.session import SetupError
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import Fault

ORDERS = {Contention.NONE: 1, Contention.SHARED: 4, Contention.EDGE: 32}
"""Orders tried of a program besides the default one. Few where no 2MB range is in get or put of
two CPUs: little can be found there, unless a running guest meets what is done to its pages."""

STEPS_WORTH = 6_000
"""Steps that the orders of one program may take, about: long programs get fewer orders."""

HISTORIES = 0.15
"""Share of long histories in the programs without 2MB pages."""

STANDARD = {False: 0.1, True: 0.4}
"""Share of the standard scenarios in the other programs, without 2MB pages and with. To meet while
a 2MB page is split takes a world that is seldom drawn by chance."""

SIMPLE = 8
"""Drawn programs before the first one whose TDs run: what is simple comes first."""

STANDARD_CPUS = (2, 3)
"""For how many CPUs there are standard scenarios."""

HOSTILE_ORDERS = 12
"""Orders tried of raw SEAMCALLs that touch something in common."""

MOST_FAILED = 20
"""Cases in a row whose set-up fails before the hunt gives up."""

MOST_INDEX = 60
"""A fault strikes at one of the first so many occasions."""

MOST_LEAF_INDEX = 6
"""The same of the calls of one leaf."""


def cases_of(plan: HuntPlan, rng: Random, first: int = 0) -> Iterator[Case]:
    """The cases of a plan, without end, in the default order. The kinds of programs come in turn;
    ``first`` is the number of turns that are left out.
    """
    scenario = plan.scenario
    fixed = None if scenario is None else plan.prepared(scenario.case(plan.design_name))
    drawn = _drawn(plan, RandomChoices(rng), first)
    while True:
        case = fixed or plan.prepared(next(drawn))
        yield _with_faults(rng, case, plan)


def runs_of(
    plan: HuntPlan, rng: Random, engine: Engine, worlds: Worlds, first: int = 0
) -> Iterator[Run]:
    """Each case of a plan in the default order, and in as many others as it is worth.

    Args:
        plan: its budget is not looked at.
        rng: makes all choices.
        engine: chooses the orders.
        worlds: of the plan's design; the cases are run there.
        first: as for :func:`cases_of`.

    Raises:
        SetupError: no set-up succeeds, or that of the plan's scenario does not.
        HarnessError: the design misused the harness, or raised.
    """
    failed = 0
    for case in cases_of(plan, rng, first):
        base = BaseRun(case, worlds.design, worlds)
        try:
            default = base.run
        except SetupError:
            # A drawn world may be too small for a design, as one with a pool of pages is.
            failed += 1
            if plan.scenario is not None or failed == MOST_FAILED:
                raise
            continue
        failed = 0
        yield default
        yield from other_orders(base, rng, engine, orders_of(base))


def other_orders(base: BaseRun, rng: Random, engine: Engine, most: int) -> Iterator[Run]:
    """So many other orders of a program, or as many as the engine knows.

    Raises:
        HarnessError: as for :func:`runs_of`.
    """
    for _ in range(most):
        attempt = engine.attempt(rng, base)
        if attempt is None:
            return
        yield attempt


def orders_of(base: BaseRun) -> int:
    """How many orders of a program are worth trying besides the default one: none where there is
    nobody to switch to.
    """
    if base.run.case.design == HOSTILE:
        return HOSTILE_ORDERS if base.conflicts else 0
    if base.run.contexts == 1:
        return 0
    meets = guest_meets_host(base.run.case)
    worth = ORDERS[Contention.EDGE if meets else base.run.contention]
    return min(worth, max(STEPS_WORTH // base.length, 1))


@cache
def standard(design: str, cpus: int, areas: bool) -> tuple[Case, ...]:
    """The standard scenarios with 2MB pages or those without, for so many CPUs: none unless there
    are two or three.
    """
    if cpus not in STANDARD_CPUS:
        return ()
    scenarios = (one for one in SCENARIOS.values() if bool(one.world.areas) is areas)
    return tuple(with_cpus(scenario, cpus).case(design) for scenario in scenarios)


def _drawn(plan: HuntPlan, choices: RandomChoices, first: int) -> Iterator[Case]:
    """Programs, the kinds of them in turn, so that few programs have them all."""
    if plan.is_hostile:
        while True:
            yield draw_hostile(choices, plan.world_cpus)
    design, cpus, huge = plan.design_name, plan.world_cpus, plan.huge or Huge()
    for areas, is_long, known, runs in islice(_kinds(design, cpus, huge), first, None):
        if is_long:
            yield draw_history(choices, design, cpus)
        elif known is not None:
            yield huge.resize(known) if areas else known
        else:
            case = (
                draw_huge_case(choices, design, huge, cpus)
                if areas
                else draw_case(choices, design, cpus)
            )
            yield with_running_tds(choices, case) if runs else case


def _kinds(design: str, cpus: int, huge: Huge) -> Iterator[tuple[bool, bool, Case | None, bool]]:
    """What kind of program is due: with 2MB pages, a long history, a standard scenario, with TDs
    that run.
    """
    with_2mb, long = _turns(huge.share), _turns(HISTORIES)
    running = chain(repeat(False, SIMPLE), _turns(SHARE))
    standing = {areas: _standard(design, cpus, areas) for areas in STANDARD}
    while True:
        areas = next(with_2mb)
        is_long = not areas and next(long)
        known = None if is_long else next(standing[areas])
        is_drawn = known is None and not is_long
        yield areas, is_long, known, is_drawn and next(running)


def _standard(design: str, cpus: int, areas: bool) -> Iterator[Case | None]:
    """The standard scenarios with 2MB pages or those without, in turn; mostly None."""
    cases = standard(design, cpus, areas)
    if not cases:
        yield from repeat(None)
    in_turn = cycle(cases)
    for due in _turns(STANDARD[areas]):
        yield next(in_turn) if due else None


def _turns(share: float) -> Iterator[bool]:
    """True in so many of the turns, evenly spread."""
    due = 0.5
    while True:
        due += share
        yield due >= 1
        due -= due >= 1


def _with_faults(rng: Random, case: Case, plan: HuntPlan) -> Case:
    """A case in which more goes wrong: what the plan says, and one or two things of the kinds that
    it leaves open.
    """
    if not plan.faults:
        return case
    patterns = plan.patterns
    faults = set(plan.fixed_faults)
    for _ in range(rng.choice((1, 2)) if patterns else 0):
        pattern = rng.choice(patterns)
        most = MOST_LEAF_INDEX if pattern.leaf else MOST_INDEX
        faults.add(Fault(pattern.kind, rng.randrange(most), pattern.leaf))
    return evolve(case, faults=(*case.faults, *sorted(faults - set(case.faults))))
