"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, what: str) -> str:
    """``"1 preemption"``, ``"2 preemptions"``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
