"""Errors a command ends with: one line, exit 2."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UsageProblem(Exception):
    """Something the user can mend; ``details`` (a traceback, say) go below the line."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageProblem:
    """A name nobody knows, with the nearest that somebody does."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return UsageProblem(f"unknown {kind} {name!r}; {hint}")
