"""Random schedules with few preemptions.

Musuvathi and Qadeer, "Iterative context bounding for systematic testing of
multithreaded programs" (PLDI 2007): most bugs need very few preemptions. Deviation:
not systematic; the number of preemptions is drawn, one being the most likely. Most of
their places are before a step that another CPU can spoil, each cell being as likely as
any other: locks that everything takes do not crowd out the rest.
"""

from __future__ import annotations

from random import Random

from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.sim import Schedule

COUNTS = ((1, 2, 3, 4), (60, 25, 10, 5))
"""How many preemptions, and how often."""

ANYWHERE = 0.2
"""How often a place is drawn from all steps: the footprint is that of one order only."""


class RandomWalk:
    """Draws a sparse schedule: (step, CPU) pairs."""

    name = "random"

    def __init__(self, counts: tuple[tuple[int, ...], tuple[int, ...]] = COUNTS) -> None:
        self.counts = counts

    def attempt(self, rng: Random, base: BaseRun) -> Run:
        count = rng.choices(*self.counts)[0]
        pairs = [_preemption(rng, base) for _ in range(count)]
        return base.rerun.run(Schedule.of(pairs))


def _preemption(rng: Random, base: BaseRun) -> tuple[int, int]:
    if base.conflicts and rng.random() >= ANYWHERE:
        return rng.choice(rng.choice(base.conflicts))
    return rng.randrange(base.length), rng.randrange(base.run.contexts)
