"""Portfolio, the default engine of ``hunt``: several engines in turn."""

from __future__ import annotations

from itertools import cycle
from random import Random

from tdxfuzz.engines.engine import Engine
from tdxfuzz.engines.fair_pct import FairPct
from tdxfuzz.engines.pct import Pct
from tdxfuzz.engines.random_walk import RandomWalk
from tdxfuzz.engines.windows import Windows
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run


class Portfolio:
    """Uses the other engines in turn: every second order is from windows, the rest from random,
    pct and fair-pct. Once windows has no order left, all are from the others.
    """

    name = "portfolio"

    def __init__(self) -> None:
        self._windows, walk = Windows(), RandomWalk()
        others: tuple[Engine, ...] = (walk, Pct(), walk, FairPct())
        self._others = cycle(others)
        self._turns = cycle((True, False))

    def attempt(self, rng: Random, base: BaseRun) -> Run | None:
        found = self._windows.attempt(rng, base) if next(self._turns) else None
        return found or next(self._others).attempt(rng, base)
