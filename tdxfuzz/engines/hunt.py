"""The hunt: random programs, several orders of each, until a finding or the end of the budget.

A hunt consists of blocks of :data:`BLOCK` cases. Each block has a random generator of its own,
which follows from the seed and the number of the block. So blocks can be hunted at the same time by
several processes (:mod:`tdxfuzz.cli.hunt_workers`), and together they are the same hunt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count, islice
from random import Random

from attrs import evolve, field, frozen

from tdxfuzz.engines.draw import runs_of
from tdxfuzz.engines.engine import Engine
from tdxfuzz.engines.events import CaseRun, Found, HuntListener
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.run.blame import NotDeterministicError
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, checks_of, run
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import (
    LOOK_FOR,
    HarnessError,
    Nondeterminism,
    OutOfTime,
    Trace,
    check_determinism,
    time_limit,
)

CHECK_HARNESS_EVERY = 997

MAKE_AGAIN_EVERY = 61
"""Cases. A run is made again at so small a cost that random choices of a design are noticed within
few hundred cases, even if most runs make none."""

BLOCK = 256
"""Cases: few enough that the last blocks of several workers end at about the same time."""

PROGRAMS = 20
"""About so many programs are in a block: the kinds of programs come in turn through all blocks."""


@frozen
class HuntResult:
    """The end of a hunt. ``findings`` has what showed each bucket first; ``interrupted`` tells
    that the user stopped it. ``cut_off`` has the first run for each place in which runs did not
    end: with any of them, a hunt without a finding is not clean.
    """

    statistics: Statistics
    findings: Mapping[str, Found] = field(factory=dict)
    interrupted: bool = False
    cut_off: Mapping[str, Run] = field(factory=dict)

    @property
    def found(self) -> Run | None:
        """The first run with a finding."""
        first = next(iter(self.findings.values()), None)
        return None if first is None else first.run


def hunt(
    plan: HuntPlan,
    listeners: Sequence[HuntListener] = (),
    new_engine: Callable[[], Engine] | None = None,
) -> HuntResult:
    """Search a design for a bug, or raw SEAMCALLs for all that they can break.

    With "hostile" the search goes on after a finding, for other buckets.

    Args:
        plan: what to hunt, and when to stop.
        listeners: are told every event, as it happens.
        new_engine: makes engines of the caller's own, in place of the plan's.

    Raises:
        PlanError: the engine is Hypothesis.
        DesignError: the design raised or hangs, or keeps state outside of cells.
        HarnessError: the design misused the harness, or a run was not deterministic.
    """
    log, worlds = HuntLog(plan, listeners), Worlds(plan.design)
    interrupted = False
    try:
        with time_limit(plan.budget.seconds):
            for number in count():
                _hunt_block(plan, number, log, worlds, new_engine or plan.new_engine)
                if log.is_over:
                    break
    except OutOfTime:
        pass
    except KeyboardInterrupt:
        interrupted = True
    return log.result(interrupted)


def hunt_block(
    plan: HuntPlan,
    number: int,
    seconds: float | None,
    worlds: Worlds,
    listeners: Sequence[HuntListener] = (),
) -> HuntResult:
    """One block of a hunt, for at most so many seconds: what :meth:`HuntLog.merge` puts together.

    Args:
        plan: of the whole hunt.
        number: of the block, from 0 on. It must have a case within the budget.
        seconds: that are left of the budget.
        worlds: of the plan's design.
        listeners: are told every event of the block.

    Raises:
        HarnessError: as for :func:`hunt`.
    """
    cases = BLOCK if plan.budget.cases is None else min(BLOCK, plan.budget.cases - number * BLOCK)
    plan = evolve(plan, budget=Budget(seconds=seconds, cases=cases))
    log = HuntLog(plan, listeners)
    interrupted = False
    try:
        with time_limit(seconds):
            _hunt_block(plan, number, log, worlds, plan.new_engine)
    except OutOfTime:
        pass
    except KeyboardInterrupt:
        interrupted = True
    return log.result(interrupted)


def _hunt_block(
    plan: HuntPlan,
    number: int,
    log: HuntLog,
    worlds: Worlds,
    new_engine: Callable[[], Engine],
) -> None:
    rng = Random(plan.seed if number == 0 else f"{plan.seed} block {number}")
    runs = runs_of(plan, rng, new_engine(), worlds, first=number * PROGRAMS)
    for case, attempt in enumerate(islice(runs, BLOCK), number * BLOCK + 1):
        is_new = log.add(attempt)
        check_harness(attempt, case, plan.design, is_new)
        if log.is_over:
            break


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
        self._cut_off: dict[str, Run] = {}

    def add(self, attempt: Run) -> bool:
        """Count a run; whether it has shown a bucket for the first time."""
        statistics = self.statistics
        statistics.seconds = time.monotonic() - self._began
        statistics.add(attempt)
        for listener in self._listeners:
            listener(CaseRun(statistics))
        if attempt.cut_off is not None:
            self._cut_off.setdefault(attempt.cut_off.bucket, attempt)
        finding = attempt.finding
        is_new = finding is not None and finding.bucket not in self._findings
        if finding is not None and is_new:
            found = Found(attempt, statistics.cases, statistics.seconds)
            self._findings[finding.bucket] = found
            for listener in self._listeners:
                listener(found)
        self.is_over = (finding is not None and not self._plan.is_hostile) or (
            self._plan.budget.is_spent(statistics.seconds, statistics.cases)
        )
        return is_new

    def merge(self, block: HuntResult) -> None:
        """Count the runs of the block that comes after those counted by now."""
        before = self.statistics.cases
        self.statistics.seconds = time.monotonic() - self._began
        self.statistics.merge(block.statistics)
        for bucket, run_cut_off in block.cut_off.items():
            self._cut_off.setdefault(bucket, run_cut_off)
        for listener in self._listeners:
            listener(CaseRun(self.statistics))
        for bucket, found in block.findings.items():
            if bucket not in self._findings:
                later = evolve(found, cases=before + found.cases, seconds=self.statistics.seconds)
                self._findings[bucket] = later
                for listener in self._listeners:
                    listener(later)
        self.is_over = (bool(self._findings) and not self._plan.is_hostile) or (
            self._plan.budget.is_spent(self.statistics.seconds, self.statistics.cases)
        )

    def result(self, interrupted: bool) -> HuntResult:
        """The end of the hunt."""
        self.statistics.seconds = time.monotonic() - self._began
        return HuntResult(self.statistics, self._findings, interrupted, self._cut_off)


def check_harness(attempt: Run, cases: int, design: Design, is_new: bool) -> None:
    """Whether the harness can be believed. A run that ``is_new``, because it has shown a bucket
    first, shows it again. Of the first runs, and of some later ones, two make the same steps, and
    the model's tables are at one after every call. More runs end alike when they are made again.

    Raises:
        HarnessError: it is not so.
    """
    if attempt.finding is not None:
        if is_new:
            confirm(attempt, design)
    elif attempt.cut_off is None and (cases & (cases - 1) == 0 or cases % CHECK_HARNESS_EVERY == 1):
        _check_run(attempt, design)
    elif attempt.cut_off is None and cases % MAKE_AGAIN_EVERY == 0:
        _check_end(attempt, design)


def confirm(found: Run, design: Design) -> Run:
    """A run with a finding, made again by its order.

    Raises:
        NotDeterministicError: it shows something else.
    """
    again = run(found.case, design)
    before, now = found.finding, again.finding
    if before is None or now is None or now.bucket != before.bucket:
        shown = [finding.bucket if finding else "nothing" for finding in (before, now)]
        raise NotDeterministicError(
            f"design {found.case.design} is not deterministic: a run that showed {shown[0]} shows "
            f"{shown[1]} when it is made again. {LOOK_FOR}",
            found,
        )
    return again


def _check_end(attempt: Run, design: Design) -> None:
    again = run(attempt.case, design)
    if again.outcome != attempt.outcome:
        steps, later = (one.outcome.steps for one in (attempt, again))
        raise NotDeterministicError(
            f"design {attempt.case.design} is not deterministic: a run ended after {steps} steps, "
            f"and after {later} when it was made again. {LOOK_FOR}",
            attempt,
        )


def _check_run(attempt: Run, design: Design) -> None:
    def trace() -> Trace:
        careful = run(attempt.case, design, traced=True, careful=True)
        if careful.finding is not None:
            raise HarnessError(
                f"the model contradicts itself, please report it: {careful.finding.message}"
            )
        assert careful.trace is not None
        return careful.trace

    try:
        check_determinism(trace)
    except Nondeterminism as error:
        raise NotDeterministicError(
            f"design {attempt.case.design} is not deterministic: {error}. {LOOK_FOR}", attempt
        ) from None
