"""Exit codes of commands, and which of two counts."""

from __future__ import annotations

PASS = 0
FINDING = 1
BROKEN = 2
UNKNOWN = 3

_ASCENDING = (PASS, UNKNOWN, FINDING, BROKEN)


def worse(one: int, other: int) -> int:
    """A finding wins over what is unknown, and broken input or a design's error over both."""
    return max(one, other, key=_ASCENDING.index)
