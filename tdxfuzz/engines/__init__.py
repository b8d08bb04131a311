"""Engines: each chooses the orders in which a hunt runs a program. One engine in each file."""

from collections.abc import Callable

from tdxfuzz.engines.engine import Engine
from tdxfuzz.engines.fair_pct import FairPct
from tdxfuzz.engines.pct import Pct
from tdxfuzz.engines.portfolio import Portfolio
from tdxfuzz.engines.random_walk import RandomWalk
from tdxfuzz.engines.windows import Windows

ENGINES: dict[str, Callable[[], Engine]] = {
    "portfolio": Portfolio,
    "random": RandomWalk,
    "pct": Pct,
    "fair-pct": FairPct,
    "windows": Windows,
}
"""The native engines by name; ``hypothesis`` is driven from ``tdxfuzz.testing.strategies``."""

__all__ = ["ENGINES", "Engine"]
