"""Generators and engines: what to run, and in which order. One engine a file."""

from collections.abc import Callable

from tdxfuzz.search.engine import Engine
from tdxfuzz.search.fair_pct import FairPct
from tdxfuzz.search.one_by_one import OneByOne
from tdxfuzz.search.pct import Pct
from tdxfuzz.search.portfolio import Portfolio
from tdxfuzz.search.random_walk import RandomWalk

ENGINES: dict[str, Callable[[], Engine]] = {
    "portfolio": Portfolio,
    "random": RandomWalk,
    "pct": Pct,
    "fair-pct": FairPct,
    "systematic": OneByOne,
}
"""The native engines by name; ``hypothesis`` is driven from ``tdxfuzz.strategies``."""

__all__ = ["ENGINES", "Engine"]
