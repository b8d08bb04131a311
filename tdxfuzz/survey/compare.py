"""Compare designs on the same programs: what breaks each of them, and what each costs.

Every program is drawn once. Each design runs it in its default order and in the same number of
other orders, chosen with the same random numbers. A step number means another place under
another design, so "the same order" means the same way to choose it, not the same switches.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from random import Random

from attrs import define, evolve, field

from tdxfuzz.case.case import Case
from tdxfuzz.engines.draw import cases_of, orders_of, other_orders
from tdxfuzz.engines.plan import HuntPlan, PlanError
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run

BLOCK = 16
"""Programs whose random numbers follow from the seed and the number of the block: blocks can be
done at the same time."""


@define
class ComparedDesign:
    """One design of a comparison: ``broken`` counts the programs that showed each bucket,
    ``first`` is the first run with each.
    """

    plan: HuntPlan
    statistics: Statistics = field(factory=Statistics)
    broken: Counter[str] = field(factory=Counter)
    first: dict[str, Run] = field(factory=dict)

    @property
    def name(self) -> str:
        """Of the design."""
        return self.plan.design_name


@define
class Comparison:
    """``programs`` counts the programs by the designs they broke, none included."""

    sides: Sequence[ComparedDesign]
    programs: Counter[frozenset[str]] = field(factory=Counter)
    seconds: float = 0.0

    @classmethod
    def new(cls, plans: Sequence[HuntPlan]) -> Comparison:
        """One without programs."""
        return cls([ComparedDesign(plan) for plan in plans])

    def merge(self, block: Comparison) -> None:
        """Add the programs of a block that comes after those that were added by now."""
        self.programs.update(block.programs)
        for side, more in zip(self.sides, block.sides, strict=True):
            side.statistics.merge(more.statistics)
            side.broken.update(more.broken)
            side.first = more.first | side.first

    @property
    def cases(self) -> int:
        """Programs that all designs were put through."""
        return self.programs.total()


def compare(
    plans: Sequence[HuntPlan],
    progress: Callable[[Comparison], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Comparison:
    """Put designs through the same programs until the budget is spent.

    Args:
        plans: one for each design, else alike. The cases of their budget are programs.
        progress: called after every program.
        stop: asked after every program whether the user has interrupted it.

    Raises:
        PlanError: fewer than two designs, or one twice, or the plans differ in more.
        HarnessError: a design misused the harness, or raised.
    """
    budget = checked(plans).budget
    comparison = Comparison.new(plans)
    began = time.monotonic()
    for number in count():
        for broken in _programs(comparison.sides, number):
            if stop() or budget.is_spent(comparison.seconds, comparison.cases):
                return comparison
            comparison.programs[broken] += 1
            comparison.seconds = time.monotonic() - began
            if progress is not None:
                progress(comparison)
    raise AssertionError("numbers do not end")


def compare_block(plans: Sequence[HuntPlan], number: int, stop: Callable[[], bool]) -> Comparison:
    """One block of :data:`BLOCK` programs, of which :func:`compare` does one after the other.

    Args:
        plans: as for :func:`compare`; checked, and their budget is not looked at.
        number: of the block, from 0 on.
        stop: asked after every program.
    """
    comparison = Comparison.new(plans)
    for broken in _programs(comparison.sides, number):
        comparison.programs[broken] += 1
        if stop():
            break
    for side in comparison.sides:
        # A class of the user's cannot be sent to another process.
        side.plan = evolve(side.plan, design=None)
    return comparison


def _programs(sides: Sequence[ComparedDesign], number: int) -> Iterator[frozenset[str]]:
    """Put designs through the programs of a block; the names of those that each breaks."""
    plan = sides[0].plan
    rng = Random(plan.seed if number == 0 else f"{plan.seed} block {number}")
    for case in islice(cases_of(plan, rng, first=number * BLOCK), BLOCK):
        yield _put_through(case, sides, rng.getrandbits(64))


def checked(plans: Sequence[HuntPlan]) -> HuntPlan:
    """The first plan, which says all but the design for the others as well.

    Raises:
        PlanError: fewer than two designs, or one twice, or the plans differ in more.
    """
    if len(plans) < 2 or len({plan.design_name for plan in plans}) != len(plans):
        raise PlanError(("--compare",), "--compare needs two designs or more, each named once")
    first = plans[0]
    for plan in plans:
        if evolve(plan, design_name=first.design_name, design=first.design) != first:
            raise PlanError(("--compare",), "--compare needs plans that differ in the design alone")
    return first


def _put_through(case: Case, sides: Sequence[ComparedDesign], seed: int) -> frozenset[str]:
    """One program under each design; the names of those that it broke."""
    bases = [BaseRun(evolve(case, design=side.name), side.plan.design) for side in sides]
    orders = max(map(orders_of, bases))
    broken = set()
    for side, base in zip(sides, bases, strict=True):
        rng, engine = Random(seed), side.plan.new_engine()
        attempts = [base.run, *other_orders(base, rng, engine, orders)]
        buckets: dict[str, Run] = {}
        for attempt in attempts:
            side.statistics.add(attempt)
            if attempt.finding is not None:
                buckets.setdefault(attempt.finding.bucket, attempt)
        side.broken.update(buckets.keys())
        side.first = buckets | side.first
        if buckets:
            broken.add(side.name)
    return frozenset(broken)
