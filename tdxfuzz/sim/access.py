"""Kinds of access: what one step does to a cell, as flags."""

from __future__ import annotations

READ = 0
WRITE = 1
RMW = 2
"""A read-modify-write instruction: one step."""

EVENT = 4
"""Flag: the first instruction of an operation that a recording lists as one event."""

SHARED = 8
"""Flag: it looks only at whether somebody holds the lock exclusively (or wants to), and
changes only the number of sharers. Such accesses commute with each other."""

BLIND = 16
"""Flag: the CPU learns nothing from it."""

_NAMES = {READ: "read", WRITE: "write", RMW: "rmw"}


def access_name(access: int) -> str:
    """``"read"``, ``"write"`` or ``"rmw"``; flags are dropped."""
    return _NAMES[access & 3]
