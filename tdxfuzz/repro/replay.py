"""Replay a reproducer: does its bug still show?"""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from tdxfuzz.repro.reproducer import Reproducer
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, run
from tdxfuzz.sim import LOOK_FOR, Nondeterminism


class ReplayResult(Enum):
    """What a replay showed."""

    FAILED = "FAILED"
    """The expected bucket: the bug is still there."""
    FIXED = "FIXED"
    """Nothing."""
    CHANGED = "CHANGED"
    """Another bucket."""
    CUT_OFF = "CUT-OFF"
    """The run does not end, so that nothing is known."""
    ERROR = "ERROR"
    """The file, the design or the harness is at fault."""


Result = ReplayResult
"""The name that tests import which ``show --as pytest`` of 0.1 wrote."""


@frozen
class Replayed:
    """The result, the run behind it, and the hash of its trace."""

    result: ReplayResult
    run: Run
    trace_hash: str


def replay(reproducer: Reproducer, design: Design = None, sources: bool = False) -> Replayed:
    """Run a reproducer within its own bounds; with ``sources`` the trace names lines of code.

    Raises:
        Nondeterminism: two runs under a user's design differ.
        HarnessError: as for :func:`tdxfuzz.run.session.run`.
    """
    again = run(reproducer.case, design, traced=True, sources=sources)
    assert again.trace is not None
    if design is not None:
        second = run(reproducer.case, design, traced=True).trace
        if second is None or second.hash() != again.trace.hash():
            name = reproducer.case.design
            raise Nondeterminism(
                f"design {name} is not deterministic: two replays differ. {LOOK_FOR}"
            )
    if again.finding is None and again.cut_off is not None:
        result = ReplayResult.CUT_OFF
    elif again.finding is None:
        result = ReplayResult.FIXED
    elif again.finding.is_in(reproducer.expect.bucket):
        result = ReplayResult.FAILED
    else:
        result = ReplayResult.CHANGED
    return Replayed(result, again, again.trace.hash())
