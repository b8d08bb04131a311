"""Determinism is checked, not hoped for."""

from __future__ import annotations

from collections.abc import Callable

from tdxfuzz.sim.errors import HarnessError
from tdxfuzz.sim.trace import Trace

LOOK_FOR = (
    "Look for random numbers, the time, threads, the order of a set, or state outside of cells."
)
"""What makes a design's runs differ."""


class Nondeterminism(HarnessError):
    """Two runs of one case differed: something besides the case decided."""


def check_determinism(run: Callable[[], Trace]) -> Trace:
    """Call ``run`` twice and compare the traces; the trace of the first.

    Raises:
        Nondeterminism: with the first record in which they differ.
    """
    first, second = run(), run()
    if first.hash() == second.hash():
        return first
    for i, (a, b) in enumerate(zip(first, second, strict=False)):
        if repr(a) != repr(b):
            raise Nondeterminism(f"two runs of one case differ at record {i}: {a} against {b}")
    raise Nondeterminism(
        f"two runs of one case differ in length: {len(first)} against {len(second)} records"
    )
