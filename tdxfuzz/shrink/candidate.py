"""A smaller case that the shrinker may try, and what a pass is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import field, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.shrink.program_point import ProgramPoint


def _same_point(point: ProgramPoint) -> ProgramPoint | None:
    return point


def _same_cpu(cpu: int) -> int | None:
    return cpu


@frozen
class Candidate:
    """A case without a schedule that is smaller than another case, its origin.

    ``point_now`` and ``cpu_now`` say where a point and a CPU of the origin are in this case; None
    if they are gone. The preemptions of the origin are moved with them.

    ``search_everywhere``: an operation or a fault is gone, so the old preemptions may mean
    nothing. Preemptions are searched everywhere, not only near their old points.
    ``speculative``: nothing says that the case shows the bug, so few orders are tried.
    """

    case: Case
    point_now: Callable[[ProgramPoint], ProgramPoint | None] = field(default=_same_point)
    cpu_now: Callable[[int], int | None] = field(default=_same_cpu)
    search_everywhere: bool = False
    speculative: bool = False


Pass = Callable[[Case], Iterator[Candidate]]
"""One kind of change: all candidates that it makes of a case without a schedule, the most
promising first."""
