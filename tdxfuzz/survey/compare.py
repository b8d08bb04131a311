"""Compare designs on the same programs: what breaks each of them, and what each costs.

Every program is drawn once. Each design runs it in its default order and in the same number of
other orders, chosen with the same random numbers. A step number means another place under
another design, so "the same order" means the same way to choose it, not the same switches.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from attrs import define, evolve, field

from tdxfuzz.case.case import Case
from tdxfuzz.engines.hunt import ORDERS, Budget
from tdxfuzz.engines.portfolio import Portfolio
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design


@define
class ComparedDesign:
    """One design of a comparison: ``broken`` counts the programs that showed each bucket,
    ``first`` is the first run with each.
    """

    name: str
    design: Design = None
    statistics: Statistics = field(factory=Statistics)
    broken: Counter[str] = field(factory=Counter)
    first: dict[str, Run] = field(factory=dict)


@define
class Comparison:
    """``programs`` counts the programs by the designs they broke, none included."""

    sides: Sequence[ComparedDesign]
    programs: Counter[frozenset[str]] = field(factory=Counter)
    seconds: float = 0.0

    @property
    def cases(self) -> int:
        """Programs that all designs were put through."""
        return self.programs.total()


def compare(
    sides: Sequence[ComparedDesign],
    seed: int,
    budget: Budget,
    cpus: int = 2,
    variant: str = DEFAULT.name,
    progress: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """Put designs through the same programs until the budget is spent.

    Args:
        sides: the designs, nothing counted yet.
        seed: of the random source.
        budget: when to stop; its cases are programs.
        cpus: in each world.
        variant: of the module, by name.
        progress: called after every program.

    Raises:
        HarnessError: a design misused the harness, or raised.
    """
    comparison = Comparison(sides)
    source = Random(seed)
    began = time.monotonic()
    while not _spent(comparison, budget):
        case = draw_case(RandomChoices(source), sides[0].name, cpus).on_module(variant)
        comparison.programs[_put_through(case, sides, source.getrandbits(64))] += 1
        comparison.seconds = time.monotonic() - began
        if progress is not None:
            progress(comparison)
    return comparison


def _put_through(case: Case, sides: Sequence[ComparedDesign], seed: int) -> frozenset[str]:
    """One program under each design; the names of those that it broke."""
    bases = [BaseRun(evolve(case, design=side.name), side.design) for side in sides]
    orders = max(ORDERS[base.run.contention] for base in bases)
    broken = set()
    for side, base in zip(sides, bases, strict=True):
        rng, engine = Random(seed), Portfolio()
        attempts = [base.run, *(engine.attempt(rng, base) for _ in range(orders))]
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


def _spent(comparison: Comparison, budget: Budget) -> bool:
    return (budget.seconds is not None and comparison.seconds >= budget.seconds) or (
        budget.cases is not None and comparison.cases >= budget.cases
    )
