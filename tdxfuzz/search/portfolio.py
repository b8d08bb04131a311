"""The default of ``hunt``: several engines, the simplest orders first."""

from __future__ import annotations

from random import Random

from tdxfuzz.check.run import Run
from tdxfuzz.search.engine import Design
from tdxfuzz.search.pct import Pct
from tdxfuzz.search.random_walk import RandomWalk

SIMPLE_FIRST = 1500
"""Attempts with a single preemption before anything else is tried: the first bug found
is then almost always one of the simplest, whatever the seed."""


class Portfolio:
    """One preemption at first; then random walk and PCT in turn."""

    name = "portfolio"

    def __init__(self) -> None:
        self._simple = RandomWalk(counts=((1,), (1,)))
        self._engines = (RandomWalk(), Pct())
        self._attempts = 0

    def attempt(self, rng: Random, base: Run, design: Design) -> Run:
        self._attempts += 1
        if self._attempts <= SIMPLE_FIRST:
            return self._simple.attempt(rng, base, design)
        return self._engines[self._attempts % 2].attempt(rng, base, design)
