"""Preemptions one by one: every place at which one can matter, none twice; then pairs.

Musuvathi and Qadeer, "Iterative context bounding for systematic testing of multithreaded
programs" (PLDI 2007). Deviations: the places come in random order, for a hunt goes on to
other programs long before all have been tried; the places of a second preemption are those
of the order without the first. To earn a verdict, see :mod:`tdxfuzz.search.systematic`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from random import Random

from tdxfuzz.check.run import Run
from tdxfuzz.search.footprint import Base
from tdxfuzz.sim import Schedule


class OneByOne:
    """Every place of one preemption that can matter, then every two, none twice."""

    name = "systematic"

    def __init__(self) -> None:
        self._base: Base | None = None
        self._left: Iterator[Schedule] = iter(())

    def attempt(self, rng: Random, base: Base) -> Run:
        if base is not self._base:
            self._base, self._left = base, _schedules(rng, base)
        return base.rerun.run(next(self._left, Schedule()))


def _schedules(rng: Random, base: Base) -> Iterator[Schedule]:
    places = sorted({place for cell in base.conflicts for place in cell})
    rng.shuffle(places)
    for place in places:
        yield Schedule.of([place])
    for pair in combinations(places, 2):
        if pair[0][0] != pair[1][0]:
            yield Schedule.of(sorted(pair))
