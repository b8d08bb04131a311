"""A hunt by several processes: each takes the next block that nobody has taken yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import cast

from tdxfuzz.cli.ctrl_c import noted
from tdxfuzz.cli.workers import LostWorkerError, Stop, Tell, Workers
from tdxfuzz.engines.events import CaseRun, HuntEvent, HuntListener
from tdxfuzz.engines.hunt import BLOCK, HuntLog, HuntResult, hunt, hunt_block
from tdxfuzz.engines.plan import HuntPlan
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.run.worlds import Worlds

Counts = tuple[int, int, int]
"""Cases, steps, and distinct schedules."""


def hunt_with_workers(
    plan: HuntPlan,
    listeners: Sequence[HuntListener],
    workers: int,
    show: Callable[[Counts, float], None],
) -> tuple[HuntResult, LostWorkerError | None]:
    """As :func:`tdxfuzz.engines.hunt.hunt`, by so many processes. With a number of cases and
    without a time the result does not depend on how many.

    Args:
        plan: what to hunt, and when to stop.
        listeners: are told what blocks have found, one block after the other.
        workers: how many processes.
        show: is told now and then what was done in how many seconds, by blocks under way too.

    Returns:
        What was found, and the first worker that was lost: the hunt ends there.

    Raises:
        PlanError: the engine is Hypothesis.
        HarnessError: a design misused the harness, or raised.
    """
    cases, seconds = plan.budget.cases, plan.budget.seconds
    blocks = None if cases is None else -(-cases // BLOCK)
    if blocks is not None:
        workers = min(workers, blocks)
    if workers == 1:
        return hunt(plan, listeners), None
    began = time.monotonic()
    until = None if seconds is None else began + seconds
    worlds = Worlds(plan.design)
    log = HuntLog(plan, listeners)
    interrupted = False
    lost: LostWorkerError | None = None

    def serve(number: int, stop: Stop, tell: Tell) -> HuntResult:
        def listen(event: HuntEvent) -> None:
            if isinstance(event, CaseRun):
                if stop():
                    raise KeyboardInterrupt
                tell(counts_of(event.statistics))

        left = None if until is None else max(0.0, until - time.monotonic())
        return hunt_block(plan, number, left, worlds, (listen,))

    def numbers() -> Iterator[int]:
        for number in count() if blocks is None else range(blocks):
            if interrupted or (until is not None and time.monotonic() >= until):
                return
            yield number

    def look() -> None:
        done = [counts_of(log.statistics), *(cast(Counts, told) for told in crew.told)]
        cases, steps, schedules = map(sum, zip(*done, strict=True))
        show((cases, steps, schedules), time.monotonic() - began)

    with noted() as stop, Workers(workers, stop, look) as crew:
        try:
            for block in crew.in_order(plan.design_name, serve, numbers()):
                log.merge(block)
                interrupted = interrupted or block.interrupted
                if block.findings and not plan.is_hostile:
                    break
        except LostWorkerError as error:
            lost = error
    return log.result(interrupted or stop()), lost


def counts_of(statistics: Statistics) -> Counts:
    """What was done."""
    return statistics.cases, statistics.steps, statistics.distinct_schedules
