"""Replay: does the bug still show?"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from tdxfuzz.repro.reproducer import Reproducer
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, run


class Result(Enum):
    """What a replay showed."""

    FAILED = "FAILED"
    """The expected bucket: the bug is still there."""
    FIXED = "FIXED"
    """Nothing."""
    CHANGED = "CHANGED"
    """Another bucket."""
    ERROR = "ERROR"
    """The file, the design or the harness is at fault."""


@frozen
class Replayed:
    """The result, the run behind it, and the hash of its trace."""

    result: Result
    run: Run
    trace_hash: str


def replay(reproducer: Reproducer, design: Design = None) -> Replayed:
    """Run a reproducer within its own bounds.

    Raises:
        HarnessError: as for :func:`tdxfuzz.run.session.run`.
    """
    again = run(reproducer.case, design, traced=True)
    assert again.trace is not None
    if again.finding is None:
        result = Result.FIXED
    elif again.finding.bucket == reproducer.expect.bucket:
        result = Result.FAILED
    else:
        result = Result.CHANGED
    return Replayed(result, again, again.trace.hash())
