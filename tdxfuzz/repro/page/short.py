"""An order in a few lines: which CPU does what, and how far it comes before another goes on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tdxfuzz.repro.lines import Line

MOST = 6
"""Of more turns than this, the first and the last ones are told."""

FEW = 3
"""So many calls of a turn are told, the last ones."""

QUIET = ("mark", "fold")
"""Kinds of lines that are nothing a CPU comes to."""


def in_short(lines: Sequence[Line]) -> list[str]:
    """A sentence for each turn of a CPU."""
    own = [line for line in lines if line.kind not in QUIET]
    turns = [list(turn) for _, turn in itertools.groupby(own, key=lambda line: line.cpu)]
    seen: set[int] = set()
    told = []
    for turn in turns:
        told.append(_told(turn, turn[0].cpu in seen))
        seen.add(turn[0].cpu)
    if len(told) > MOST:
        left_out = len(told) - MOST
        told[MOST // 2 : -MOST // 2] = [f"… {left_out} more turns …"]
    return told


def _told(turn: Sequence[Line], again: bool) -> str:
    operations = "; ".join(line.text for line in turn if line.kind == "op")
    last = turn[-1]
    who = f"CPU {last.cpu}{' goes on' if again else ''}"
    where = "" if last.step is None else f" (step {last.step})"
    begun = f"{who}: {operations}" if operations else who
    if last.kind == "op":
        return f"{begun}{where}"
    made = ", ".join(f"“{line.text}”" for line in _calls_that_count(turn))
    return f"{begun}{f', with {made}' if made else ''}, up to “{last.text}”{where}"


def _calls_that_count(turn: Sequence[Line]) -> list[Line]:
    """Of the calls before the last line: those that add and remove pairs, because most bugs are
    about these. Of a hostile host, which does nothing but calls: all.
    """
    is_hostile = all(line.kind == "call" for line in turn)
    calls = [line for line in turn[:-1] if line.kind == "call"]
    return [line for line in calls if is_hostile or ".PAMT." in line.text][-FEW:]
