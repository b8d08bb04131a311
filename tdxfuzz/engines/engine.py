"""The interface of an engine: it tries another order of a program."""

from __future__ import annotations

from random import Random
from typing import Protocol

from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run


class Engine(Protocol):
    """One way to choose orders."""

    name: str

    def attempt(self, rng: Random, base: BaseRun) -> Run | None:
        """Run the programs of ``base`` in another order; the result replays by itself. None: the
        engine knows no further one.
        """
