"""The default of ``hunt``: several engines in turn."""

from __future__ import annotations

from random import Random

from tdxfuzz.check.run import Run
from tdxfuzz.search.footprint import Base
from tdxfuzz.search.pct import Pct
from tdxfuzz.search.random_walk import RandomWalk


class Portfolio:
    """Random walk and PCT in turn."""

    name = "portfolio"

    def __init__(self) -> None:
        self._engines = (RandomWalk(), Pct())
        self._attempts = 0

    def attempt(self, rng: Random, base: Base) -> Run:
        self._attempts += 1
        return self._engines[self._attempts % 2].attempt(rng, base)
