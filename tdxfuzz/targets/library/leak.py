"""What a library keeps over a reset: which sequence it comes from, and in which variables it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import frozen

from tdxfuzz.targets.library.errors import LibraryError
from tdxfuzz.targets.library.process import Library
from tdxfuzz.targets.library.trial import Trial

MOST = 8
"""Variables that are named."""

HISTORY = 30
"""Trials that are tried first, in case the library keeps something over a reset."""

LEAK_SECONDS = 20.0
"""How long it is looked for what has to run before, among all that the process has run."""

CONFIRMED = 6
"""How often a leak over a reset is shown again."""

Shows = Callable[[Sequence[Trial]], bool]
"""Whether a trial shows something in a process that has run some others before."""

_LINE = re.compile(r"([0-9a-f]+) ([0-9a-f]+) [bBdDuVs] (\S+)")
"""``nm -S``: address, size, kind of data, name."""

_Data = Sequence[tuple[int, bytes]]


@frozen
class _Variable:
    begin: int
    size: int
    name: str


def needed_before(
    history: Sequence[int], again: Callable[[int], Trial], shows: Shows
) -> tuple[Trial, ...]:
    """Trials that the same process has to have run for another one to show something: one if one is
    enough; none if it is not put down to them.

    Args:
        history: the numbers of all that it has run.
        again: the trial of a number.
        shows: whether the other one shows something behind some.
    """
    until = time.monotonic() + LEAK_SECONDS
    size = HISTORY
    while history and time.monotonic() < until:
        some = [again(number) for number in history[-size:]]
        if shows(some):
            some = _from_the_last_needed(some, shows)
            both = (some[:1], some)
            return next((tuple(it) for it in both if _shows_only_behind(it, shows)), ())
        if size >= len(history):
            return ()
        size *= 4
    return ()


def _from_the_last_needed(some: list[Trial], shows: Shows) -> list[Trial]:
    """The shortest end of some trials behind which it shows."""
    needed, silent = 0, len(some)
    while silent - needed > 1:
        middle = (needed + silent) // 2
        if shows(some[middle:]):
            needed = middle
        else:
            silent = middle
    return some[needed:]


def _shows_only_behind(before: Sequence[Trial], shows: Shows) -> bool:
    """Whether it shows behind others, and never alone. A library that answers by the time may show
    anything once.
    """
    return all(shows(before) and not shows(()) for _ in range(CONFIRMED))


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
