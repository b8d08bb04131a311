"""Hostile calls that overlap, in all orders: pairs of calls that succeed, or triples.

Of each leaf there are up to four calls that succeed, with different operands. The first call of
a pair succeeds after the set-up. The second one succeeds after the set-up too, or only after
the first. A triple adds a call that succeeds after both or after the set-up, one of each leaf.
The calls of one case overlap in every order that :mod:`tdxfuzz.verify.search` distinguishes.
Calls that are always refused change nothing for good. Their effects while they run are left to
the hunts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from attrs import define, evolve, field

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.generate.hostile_calls import fitting_calls, hostile_case
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.result import Run
from tdxfuzz.verify.out_of_time import out_of_time
from tdxfuzz.verify.search import INTERRUPTED, StopRule, Verdict, verify
from tdxfuzz.verify.worklist import Bounds, SearchCounts

MOST_CALLS = 3
"""Calls that :func:`overlaps` combines at most."""


@define
class SweepResult:
    """What a sweep over many cases did: its counts grow while it goes on.

    ``cases`` have been searched; ``counts`` adds up what that took. ``firsts`` has the
    first run for each bucket, ``unfinished`` says why a case was not searched to its end.
    """

    cases: int = 0
    counts: SearchCounts = field(factory=SearchCounts)
    firsts: dict[str, Run] = field(factory=dict)
    unfinished: str = ""

    @property
    def verdict(self) -> Verdict:
        """Fail if anything was found, else unknown if anything was left out."""
        if self.firsts:
            return Verdict.FAIL
        return Verdict.UNKNOWN if self.unfinished or not self.cases else Verdict.PASS


def overlaps(
    setup: str, calls: int, variant: str = DEFAULT.name, checks: tuple[str, ...] = ()
) -> Iterator[Case]:
    """Cases in which so many calls overlap, one on each CPU, after a set-up.

    Args:
        setup: a name in :data:`tdxfuzz.case.hostile.SETUPS`.
        calls: 2 or 3.
        variant: of the module.
        checks: the ids of those that listen; all by default.

    Raises:
        SetupError: the set-up fails on the variant.
    """
    seen: set[tuple[Op, ...]] = set()
    for chosen in _chains(setup, (), calls, variant):
        # The CPUs differ in nothing but their number.
        together = tuple(sorted(chosen))
        if together not in seen:
            seen.add(together)
            case = hostile_case(setup, calls, tuple((op,) for op in chosen), variant)
            yield evolve(case, checks=checks)


def _chains(
    setup: str, before: tuple[Op, ...], calls: int, variant: str
) -> Iterator[tuple[Op, ...]]:
    """Calls of which each succeeds after those before it, or would without them too.

    From the third call on, one call of each leaf has to do.
    """
    if len(before) == calls:
        yield before
        return
    beside = fitting_calls(setup, (), variant) if before else {}
    after = fitting_calls(setup, before, variant)
    most = None if len(before) < 2 else 1
    for leaf in sorted({*beside, *after}):
        fitting = dict.fromkeys((*after.get(leaf, ()), *beside.get(leaf, ())))
        for op in list(fitting)[:most]:
            yield from _chains(setup, (*before, op), calls, variant)


def sweep(
    cases: Iterator[Case],
    bounds: Bounds,
    progress: Callable[[SweepResult], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> SweepResult:
    """Search all orders of many cases within common bounds; go on after findings.

    Args:
        cases: what to search.
        bounds: ``states`` bounds each case, ``seconds`` all of them together.
        progress: called after every case.
        stop: as for :func:`tdxfuzz.verify.search.verify`.
    """
    swept = SweepResult()
    began = time.monotonic()
    for case in cases:
        left = None if bounds.seconds is None else bounds.seconds - (time.monotonic() - began)
        if left is not None and left <= 0:
            assert bounds.seconds is not None
            swept.unfinished = out_of_time(bounds.seconds)
            break
        verified = verify(
            case, bounds=evolve(bounds, seconds=left), until=StopRule.EVERY_BUCKET, stop=stop
        )
        _add(swept.counts, verified.counts)
        swept.counts.seconds = time.monotonic() - began
        for bucket, run in verified.firsts.items():
            swept.firsts.setdefault(bucket, run)
        if verified.why == INTERRUPTED:
            swept.unfinished = verified.why
            break
        swept.cases += 1
        if stop():
            swept.unfinished = INTERRUPTED
            break
        swept.unfinished = swept.unfinished or verified.why
        if progress is not None:
            progress(swept)
    return swept


def _add(total: SearchCounts, more: SearchCounts) -> None:
    total.states += more.states
    total.transitions += more.transitions
    total.schedules += more.schedules
    total.depth = max(total.depth, more.depth)
    total.seen |= more.seen
