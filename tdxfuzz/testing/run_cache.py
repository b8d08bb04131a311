"""A cache of runs for test frameworks, which draw many equal or similar cases.

A run is a function of its case, so the run of an equal case is looked up. More than four in
ten of the cases that Hypothesis draws come again.
"""

from __future__ import annotations

import threading
from functools import lru_cache

from hypothesis import reject

from tdxfuzz.case.case import Case
from tdxfuzz.engines.draw import MOST_FAILED
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design
from tdxfuzz.run.worlds import Worlds

MOST = 512
"""How many runs, and how many programs with their run in the default order, are remembered."""


class RunCache:
    """The drawn cases of one design.

    Args:
        design: the class that the cases' design names, where it is not a built-in one.

    ``examples`` counts those that tests have asserted something about, ``orders`` the other orders
    of their programs that were run, and ``failed`` the cases in a row by now whose set-up fails.
    """

    def __init__(self, design: Design) -> None:
        self.examples = 0
        self.orders = 0
        self.failed = 0
        worlds = Worlds(design)
        self._run = lru_cache(MOST)(worlds.run)
        self._base = lru_cache(MOST)(lambda case: BaseRun(case, design, worlds))

    def leave_out(self) -> None:
        """The set-up of a drawn case fails: reject it, as a hunt goes on to the next one. Nothing
        is done after :data:`tdxfuzz.engines.draw.MOST_FAILED` of them in a row.
        """
        self.failed += 1
        if self.failed < MOST_FAILED:
            reject()

    def run(self, case: Case) -> Run:
        """What :func:`tdxfuzz.run.session.run` gives, and raises."""
        return self._run(case)

    def base(self, case: Case) -> BaseRun:
        """The case's programs with their run in the default order."""
        return self._base(case)


class _OfThread(threading.local):
    """A world serves one run at a time, so each thread has its own."""

    def __init__(self) -> None:
        self.by_design: dict[Design, RunCache] = {}


_of_thread = _OfThread()


def run_cache(design: Design = None) -> RunCache:
    """The cases drawn by now for a design."""
    known = _of_thread.by_design.get(design)
    if known is None:
        known = _of_thread.by_design[design] = RunCache(design)
    return known


def forget() -> None:
    """Begin anew, as a new process would."""
    _of_thread.by_design.clear()
