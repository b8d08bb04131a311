"""A search whose time is over."""

from __future__ import annotations

from tdxfuzz.run.result import Run
from tdxfuzz.sim import OutOfTime


class OutOfTimeInRun(OutOfTime):
    """The time limit was over in the middle of ``run``, so no search may go on from there."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run


def out_of_time(seconds: float) -> str:
    """Why a search is unfinished that has had so many seconds."""
    return f"the bound of {seconds:g} s was reached"
