"""The hunt: random programs, several orders of each, until a finding or the end of the budget."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from random import Random

from attrs import field, frozen

from tdxfuzz.engines.draw import runs_of
from tdxfuzz.engines.engine import Engine
from tdxfuzz.engines.events import CaseRun, Found, HuntListener
from tdxfuzz.engines.plan import HuntPlan
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, checks_of, run
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import HarnessError, Trace, check_determinism

CHECK_HARNESS_EVERY = 997


@frozen
class HuntResult:
    """The end of a hunt. ``findings`` has what showed each bucket first; ``interrupted`` tells
    that the user stopped it.
    """

    statistics: Statistics
    findings: Mapping[str, Found] = field(factory=dict)
    interrupted: bool = False

    @property
    def found(self) -> Run | None:
        """The first run with a finding."""
        first = next(iter(self.findings.values()), None)
        return None if first is None else first.run


def hunt(plan: HuntPlan, listeners: Sequence[HuntListener] = ()) -> HuntResult:
    """Search a design for a bug, or raw SEAMCALLs for all that they can break.

    With "hostile" the search goes on after a finding, for other buckets.

    Args:
        plan: what to hunt, and when to stop.
        listeners: are told every event, as it happens.

    Raises:
        PlanError: the engine is Hypothesis.
        HarnessError: the design misused the harness or raised, or a run was not
            deterministic.
    """
    return hunt_with_engine(plan.new_engine(), plan, listeners)


def hunt_with_engine(
    engine: Engine, plan: HuntPlan, listeners: Sequence[HuntListener] = ()
) -> HuntResult:
    """As :func:`hunt`, with a fresh engine of the caller's in place of the plan's."""
    log = HuntLog(plan, listeners)
    interrupted = False
    try:
        for attempt in runs_of(plan, Random(plan.seed), engine, Worlds(plan.design)):
            log.add(attempt)
            if attempt.finding is None and log.statistics.cases % CHECK_HARNESS_EVERY == 1:
                _check_harness(attempt, plan.design)
            if log.is_over:
                break
    except KeyboardInterrupt:
        interrupted = True
    return log.result(interrupted)


class HuntLog:
    """What a hunt has seen by now; tells its listeners.

    ``is_over`` after the first finding of a design, and when the budget is spent.
    """

    def __init__(self, plan: HuntPlan, listeners: Sequence[HuntListener]) -> None:
        self.statistics = Statistics(plan.checks or checks_of(plan.design_name, plan.design))
        self.is_over = False
        self._plan = plan
        self._listeners = listeners
        self._began = time.monotonic()
        self._findings: dict[str, Found] = {}

    def add(self, attempt: Run) -> None:
        """Count a run."""
        statistics = self.statistics
        statistics.seconds = time.monotonic() - self._began
        statistics.add(attempt)
        for listener in self._listeners:
            listener(CaseRun(statistics))
        finding = attempt.finding
        if finding is not None and finding.bucket not in self._findings:
            found = Found(attempt, statistics.cases, statistics.seconds)
            self._findings[finding.bucket] = found
            for listener in self._listeners:
                listener(found)
        self.is_over = (finding is not None and not self._plan.is_hostile) or (
            self._plan.budget.is_spent(statistics.seconds, statistics.cases)
        )

    def result(self, interrupted: bool) -> HuntResult:
        """The end of the hunt."""
        self.statistics.seconds = time.monotonic() - self._began
        return HuntResult(self.statistics, self._findings, interrupted)


def _check_harness(attempt: Run, design: Design) -> None:
    """A clean run once more, twice: the same each time, and the model's tables at one
    after every call.

    Raises:
        HarnessError: they are not.
    """
    case = attempt.case.with_schedule(attempt.schedule)

    def trace() -> Trace:
        careful = run(case, design, traced=True, careful=True)
        if careful.finding is not None:
            raise HarnessError(
                f"the model contradicts itself, please report it: {careful.finding.message}"
            )
        assert careful.trace is not None
        return careful.trace

    check_determinism(trace)
