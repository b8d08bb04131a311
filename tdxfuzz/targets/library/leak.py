"""Which variables of a library outlive a reset."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from tdxfuzz.targets.library.errors import LibraryError
from tdxfuzz.targets.library.process import Library
from tdxfuzz.targets.library.trial import Trial

MOST = 8
"""Variables that are named."""

_LINE = re.compile(r"([0-9a-f]+) ([0-9a-f]+) [bBdDuVs] (\S+)")
"""``nm -S``: address, size, kind of data, name."""

_Data = Sequence[tuple[int, bytes]]


@frozen
class _Variable:
    begin: int
    size: int
    name: str


def variables_left(library: Library, before: Sequence[Trial], trial: Trial) -> tuple[str, ...]:
    """Variables that a reset leaves otherwise behind some trials than in a fresh process, by name.

    What differs between two fresh processes says nothing: it holds addresses.
    """
    world = trial.world
    try:
        library.close()
        for each in before:
            library.play(each)
        left = library.data_after_reset(world)
        fresh = []
        for _ in range(2):
            library.close()
            fresh.append(library.data_after_reset(world))
    except LibraryError:
        return ()
    finally:
        library.close()
    places = [place for place in _differing(left, fresh[0]) if place not in _differing(*fresh)]
    return tuple(dict.fromkeys(_names(places, _variables(library.path))))[:MOST]


def _differing(one: _Data, other: _Data) -> dict[int, None]:
    """Words that differ, by their places in the file."""
    found: dict[int, None] = {}
    for (begin, left), (_, right) in zip(one, other, strict=True):
        if left != right:
            for at in range(0, len(left), 8):
                if left[at : at + 8] != right[at : at + 8]:
                    found[begin + at] = None
    return found


def _variables(path: Path) -> list[_Variable]:
    tool = shutil.which("nm")
    if tool is None:
        return []
    done = subprocess.run(
        [tool, "-S", "--defined-only", str(path)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    matches = (_LINE.fullmatch(line) for line in done.stdout.splitlines())
    return [_Variable(int(it[1], 16), int(it[2], 16), it[3]) for it in matches if it is not None]


def _names(places: Sequence[int], variables: Sequence[_Variable]) -> list[str]:
    return [
        next(
            (it.name for it in variables if it.begin < place + 8 and place < it.begin + it.size),
            f"data at {place:#x}",
        )
        for place in places
    ]
