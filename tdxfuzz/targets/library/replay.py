"""A divergence's file again: on the model beside what was recorded, or on a library."""

from __future__ import annotations

from attrs import evolve

from tdxfuzz.targets.library.compare import Divergence, compare
from tdxfuzz.targets.library.errors import LibraryError
from tdxfuzz.targets.library.files import Reproducer
from tdxfuzz.targets.library.judge import LINEARIZABLE, judge, judge_serial, serial_outcomes
from tdxfuzz.targets.library.model import play
from tdxfuzz.targets.library.process import Library


def replay(reproducer: Reproducer, library: Library | None) -> Divergence | None:
    """The first thing in which both sides differ now: the model, and the library; without one, what
    the file says that it did. A finding of ``hunt`` and ``verify`` is about the library alone.

    Raises:
        LibraryError: the library refuses what it is asked, or is needed and not given.
    """
    trial = evolve(reproducer.trial, closely=True)
    if library is None:
        if reproducer.needs_library:
            what = f"{reproducer.leaf}/{reproducer.field}"
            raise LibraryError(f"{what} is about the library alone; give it with --library")
        return compare(trial, play(trial), reproducer.recorded, lambda _: False)
    if reproducer.field == LINEARIZABLE:
        return judge_serial(trial, library.play(trial), serial_outcomes(trial, library.play))
    if reproducer.of_one_side:
        return judge(trial, library.play(trial))
    library.close()
    for before in reproducer.before:
        library.play(before)
    return compare(trial, play(trial), library.play(trial), lambda _: False)


def is_same(reproducer: Reproducer, found: Divergence) -> bool:
    """Whether what shows is what the file expects."""
    if reproducer.field in ("reset", "repeat"):
        return True  # any divergence will do: they depend on what was run before
    return (reproducer.leaf, reproducer.field) == (found.leaf, found.field)
