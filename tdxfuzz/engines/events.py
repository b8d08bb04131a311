"""The events of a hunt. Listeners get them, and are independent of each other."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.run.result import Run


@frozen
class CaseRun:
    """A case was run and counted; the statistics go on changing."""

    statistics: Statistics


@frozen
class Found:
    """A bucket was met for the first time: the run, and how many cases and seconds it took."""

    run: Run
    cases: int
    seconds: float


HuntEvent = CaseRun | Found
HuntListener = Callable[[HuntEvent], None]
