"""``tdxfuzz hunt --engine hypothesis``: the same hunt, with Hypothesis choosing."""

from __future__ import annotations

import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from tdxfuzz.check.run import Run, run
from tdxfuzz.host.case import Case
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.search.hunt import Budget, Hunted
from tdxfuzz.search.statistics import Statistics
from tdxfuzz.strategies import cases

FOREVER = 100_000_000
SIMPLE_FIRST = 500
"""Cases with one preemption at the most before more are drawn."""


class _Enough(BaseException):
    """Leaves Hypothesis at once; it would shrink, and we have a shrinker."""


def hunt_with_hypothesis(
    design_name: str,
    hunt_seed: int,
    budget: Budget,
    cpus: int = 2,
    design: type[RefcountLayer] | None = None,
    progress: Callable[[Statistics], None] | None = None,
) -> Hunted:
    """As :func:`tdxfuzz.search.hunt.hunt`, with Hypothesis as the source of cases.

    Raises:
        HarnessError: the design misused the harness or raised.
    """
    statistics = Statistics()
    began = time.monotonic()
    found: list[Run] = []

    def body(case: Case) -> None:
        attempt = run(case, design)
        statistics.seconds = time.monotonic() - began
        statistics.add(attempt)
        if progress is not None:
            progress(statistics)
        if attempt.finding is not None:
            found.append(attempt)
            raise _Enough
        if budget.seconds is not None and statistics.seconds >= budget.seconds:
            raise _Enough
        if budget.cases is not None and statistics.cases >= budget.cases:
            raise _Enough

    interrupted = False
    try:
        for most, examples in ((1, SIMPLE_FIRST), (3, FOREVER)):
            _drive(body, cases(design_name, cpus, design, most), hunt_seed, examples)
    except _Enough:
        pass
    except KeyboardInterrupt:
        interrupted = True
    statistics.seconds = time.monotonic() - began
    return Hunted(statistics, found[0] if found else None, interrupted)


def _drive(
    body: Callable[[Case], None], strategy: SearchStrategy[Case], hunt_seed: int, examples: int
) -> None:
    test = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(seed(hunt_seed)(given(strategy)(body)))
    test()
