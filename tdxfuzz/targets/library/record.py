"""What a library does, as recordings: so that a version of a module can be pinned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from attrs import evolve, frozen

from tdxfuzz.targets.library.draw import Drawer
from tdxfuzz.targets.library.errors import LibraryError
from tdxfuzz.targets.library.files import call_object, config_of, trial_object
from tdxfuzz.targets.library.process import Library
from tdxfuzz.targets.library.trial import Outcome, Trial

KINDS = ("sequential", "locks", "interleaved")
"""Kinds A, B and D of ``corpus/conformance/README.md``."""

Json = dict[str, object]


@frozen
class Recorded:
    """One line of a file; or why there is none: the library crashed, or hangs."""

    line: Json | None
    calls: int
    why: str = ""


def record(library: Library, kind: str, cases: int, seed: int) -> Iterator[Recorded]:
    """Draw trials, run them on the library, and tell what it did.

    Raises:
        LibraryError: the library lacks what the kind needs, or refuses what it is asked.
    """
    if kind != "sequential" and not library.caps.hook:
        raise LibraryError(f"recordings of kind {kind} need TDXT_HAS_HOOK, which the library lacks")
    drawer = Drawer(library.caps, interleaved=1.0 if kind == "interleaved" else 0.0)
    line = _LINES[kind]
    for number in range(cases):
        trial = drawer.draw(Random(f"{seed} {number}")).trial
        if kind == "locks":
            trial = evolve(trial, closely=True)
        outcome = library.play(trial)
        if outcome.stop is not None and outcome.stop.kind in ("crash", "hang"):
            yield Recorded(None, trial.size, f"{outcome.stop.kind}: {outcome.stop.text}")
            continue
        if kind == "locks" and not outcome.results:
            yield Recorded(None, trial.size, "fatal: the first call, before which nothing is")
            continue
        yield Recorded({"id": f"{kind[0].upper()}{number:05}", **line(trial, outcome)}, trial.size)


def _whole(trial: Trial, outcome: Outcome) -> Json:
    return {"kind": "drawn", "family": "drawn", **trial_object(trial, outcome)}


def _last_call(trial: Trial, outcome: Outcome) -> Json:
    """All calls but the last one are the set-up; a fatal one ends the line before it."""
    results = outcome.results
    calls = trial.calls[: len(results)]
    objects = [call_object(*pair) for pair in zip(calls, results, strict=True)]
    return {
        "name": calls[-1].name,
        "config": config_of(trial.world),
        "setup": objects[:-1],
        "call": objects[-1],
        "events": [list(event) for event in outcome.of_calls[len(results) - 1]],
        "final": outcome.states.get(len(results)),
    }


_LINES: dict[str, Callable[[Trial, Outcome], Json]] = {
    "sequential": _whole,
    "locks": _last_call,
    "interleaved": _whole,
}
