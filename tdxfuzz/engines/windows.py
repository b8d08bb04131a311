"""Windows: one preemption in each window in which it makes a difference, then two preemptions.

Musuvathi and Qadeer, "Iterative context bounding for systematic testing of multithreaded
programs" (PLDI 2007). Deviations: where a preemption makes a difference is found out on the way
(:mod:`tdxfuzz.engines.each_window`), from a step drawn at random on and once around, for a hunt
goes on to other programs long before all has been tried; the window with that step is tried at both
ends. To earn a verdict, see :mod:`tdxfuzz.verify.search`.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tdxfuzz.engines.each_window import each_window
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.sim import EMPTY


class Windows:
    """Puts one preemption into each window in which it makes a difference, then a second one.
    No order is tried twice: there may be fewer orders than a hunt would try.
    """

    name = "windows"

    def __init__(self) -> None:
        self._base: BaseRun | None = None
        self._left: Iterator[Run] = iter(())

    def attempt(self, rng: Random, base: BaseRun) -> Run | None:
        if base is not self._base:
            self._base, self._left = base, _orders(rng, base)
        return next(self._left, None)


def _orders(rng: Random, base: BaseRun) -> Iterator[Run]:
    singles: list[Run] = []
    start = rng.randrange(base.length)
    targets = list(range(base.run.contexts))
    rng.shuffle(targets)
    for first, last in ((start, None), (0, start - 1)):
        for target in targets:
            for found in each_window(base.rerun, base.run, EMPTY, target, first, last):
                singles.append(found)
                yield found
    for single in singles:
        schedule = single.case.schedule
        for target in targets:
            yield from each_window(
                base.rerun, single, schedule, target, schedule.switches[-1].step + 1
            )
