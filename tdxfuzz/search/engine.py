"""What an engine is: it tries another order of a program."""

from __future__ import annotations

from random import Random
from typing import Protocol

from tdxfuzz.check.run import Design, Run, run
from tdxfuzz.host.case import Case
from tdxfuzz.search.footprint import Base
from tdxfuzz.sim import Policy, Schedule


class Engine(Protocol):
    """One way to choose orders."""

    name: str

    def attempt(self, rng: Random, base: Base) -> Run:
        """Run the programs of ``base`` in another order; the result replays by itself."""


def run_with_policy(case: Case, policy: Policy, design: Design) -> Run:
    """Run a case as ``policy`` likes, and give a case whose schedule says the same."""
    chosen = run(case, design, policy=policy)
    if chosen.finding is None:
        return chosen
    return run(case.with_schedule(Schedule.of(chosen.outcome.switches)), design)
