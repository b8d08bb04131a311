"""Random schedules with few preemptions.

Musuvathi and Qadeer, "Iterative context bounding for systematic testing of
multithreaded programs" (PLDI 2007): most bugs need very few preemptions. Deviation: the
number of preemptions is random, and one is the most likely. Most preemptions are before a
step that conflicts with another CPU. Every cell is equally likely, so that a lock that all
operations take does not crowd out the other cells.
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
    """Puts a few preemptions at random steps, most often one."""

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
