"""Random schedules with few preemptions.

Musuvathi and Qadeer, "Iterative context bounding for systematic testing of
multithreaded programs" (PLDI 2007): most bugs need very few preemptions. Deviation:
not systematic; the number of preemptions is drawn, one being the most likely. Half of
their places are uniform over the steps of the run without preemptions, half lie right
behind a SEAMCALL's return, where a decision waits to be acted upon.
"""

from __future__ import annotations

from random import Random

from tdxfuzz.check.run import Run, run
from tdxfuzz.search.engine import Design
from tdxfuzz.sim import Schedule

COUNTS = ((1, 2, 3, 4), (60, 25, 10, 5))
"""How many preemptions, and how often."""

BEHIND_A_CALL = 0.5


class RandomWalk:
    """Draws a sparse schedule: (step, CPU) pairs."""

    name = "random"

    def __init__(self, counts: tuple[tuple[int, ...], tuple[int, ...]] = COUNTS) -> None:
        self.counts = counts

    def attempt(self, rng: Random, base: Run, design: Design) -> Run:
        count = rng.choices(*self.counts)[0]
        length = max(base.outcome.steps, 1)
        cpus = base.case.world.cpus
        returns = base.returns or (0,)
        pairs = [
            (
                rng.choice(returns) if rng.random() < BEHIND_A_CALL else rng.randrange(length),
                rng.randrange(cpus),
            )
            for _ in range(count)
        ]
        return run(base.case.with_schedule(Schedule.of(pairs)), design)
