"""Portfolio, the default engine of ``hunt``: several engines in turn."""

from __future__ import annotations

from itertools import cycle
from random import Random

from tdxfuzz.engines.fair_pct import FairPct
from tdxfuzz.engines.pct import Pct
from tdxfuzz.engines.random_walk import RandomWalk
from tdxfuzz.engines.windows import Windows
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run


class Portfolio:
    """Uses the other engines in turn: every second order is from windows, the rest from random,
    pct and fair-pct.
    """

    name = "portfolio"

    def __init__(self) -> None:
        one_by_one, walk = Windows(), RandomWalk()
        between = (walk, Pct(), walk, FairPct())
        self._turns = cycle(engine for other in between for engine in (one_by_one, other))

    def attempt(self, rng: Random, base: BaseRun) -> Run:
        return next(self._turns).attempt(rng, base)
