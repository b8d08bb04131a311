"""The default of ``hunt``: several engines in turn."""

from __future__ import annotations

from random import Random

from tdxfuzz.check.run import Run
from tdxfuzz.search.fair_pct import FairPct
from tdxfuzz.search.footprint import Base
from tdxfuzz.search.pct import Pct
from tdxfuzz.search.random_walk import RandomWalk


class Portfolio:
    """Random walk at every other attempt, PCT and fair PCT at those between."""

    name = "portfolio"

    def __init__(self) -> None:
        walk = RandomWalk()
        self._engines = (Pct(), walk, FairPct(), walk)
        self._attempts = 0

    def attempt(self, rng: Random, base: Base) -> Run:
        self._attempts += 1
        return self._engines[self._attempts % len(self._engines)].attempt(rng, base)
