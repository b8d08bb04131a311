"""Errors that end a command: one line, exit code 2."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UsageProblem(Exception):
    """A problem that the user can correct. ``details`` (such as a traceback) go below the line."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


LISTS = {
    "check": "checks",
    "design": "designs",
    "engine": "engines",
    "leaf": "leaves",
    "module variant": "variants",
    "scenario": "scenarios",
}
"""The argument of ``tdxfuzz list`` that shows all names of a kind."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageProblem:
    """The error for an unknown name. It offers the nearest known names, or all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    more = f" (all: `tdxfuzz list {LISTS[kind]}`)" if kind in LISTS else ""
    return UsageProblem(f"unknown {kind} {name!r}; {hint}{more}")
