"""The hunt: programs at random, several orders of each, until a bug or the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random

from attrs import field, frozen

from tdxfuzz.check.run import Run, run
from tdxfuzz.search.engine import Design, Engine
from tdxfuzz.search.programs import draw_case
from tdxfuzz.search.source import RandomSource
from tdxfuzz.search.statistics import Statistics
from tdxfuzz.sim import Trace, check_determinism

ORDERS = 8
"""Orders tried of each program, besides the one without preemptions."""

CHECK_DETERMINISM_EVERY = 997


@frozen
class Budget:
    """When to stop: after so many seconds or cases, whichever comes first."""

    seconds: float | None = field(default=None)
    cases: int | None = field(default=None)


@frozen
class Hunted:
    """The end of a hunt. ``found`` is the first run with a finding, ``interrupted`` tells
    that the user stopped it.
    """

    statistics: Statistics
    found: Run | None
    interrupted: bool = False


def hunt(
    design_name: str,
    engine: Engine,
    seed: int,
    budget: Budget,
    cpus: int = 2,
    design: Design = None,
    progress: Callable[[Statistics], None] | None = None,
) -> Hunted:
    """Search one design for a bug.

    The cases depend on design, engine and seed alone: a longer budget only tries more.

    Args:
        design_name: goes into the cases; a built-in name unless ``design`` is given.
        engine: chooses the orders; a fresh one.
        seed: of the random source.
        budget: when to stop.
        cpus: in each world.
        design: a user's design.
        progress: called after every case.

    Raises:
        HarnessError: the design misused the harness or raised, or a run was not
            deterministic.
    """
    statistics = Statistics()
    began = time.monotonic()
    found = None
    interrupted = False
    try:
        for attempt in _attempts(Random(seed), design_name, engine, cpus, design):
            statistics.seconds = time.monotonic() - began
            statistics.add(attempt)
            if progress is not None:
                progress(statistics)
            if attempt.finding is not None:
                found = attempt
                break
            if statistics.cases % CHECK_DETERMINISM_EVERY == 1:
                _check_determinism(attempt, design)
            if budget.cases is not None and statistics.cases >= budget.cases:
                break
            if budget.seconds is not None and statistics.seconds >= budget.seconds:
                break
    except KeyboardInterrupt:
        interrupted = True
    statistics.seconds = time.monotonic() - began
    return Hunted(statistics, found, interrupted)


def _attempts(
    rng: Random, design_name: str, engine: Engine, cpus: int, design: Design
) -> Iterator[Run]:
    while True:
        base = run(draw_case(RandomSource(rng), design_name, cpus), design)
        yield base
        for _ in range(ORDERS):
            yield engine.attempt(rng, base, design)


def _check_determinism(attempt: Run, design: Design) -> None:
    case = attempt.case.with_schedule(attempt.schedule)

    def trace() -> Trace:
        traced = run(case, design, traced=True).trace
        assert traced is not None
        return traced

    check_determinism(trace)
