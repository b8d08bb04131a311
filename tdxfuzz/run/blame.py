"""Whose mistake it is when code under test raises, loops without a step, or does not end."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING

from greenlet import GreenletExit

from tdxfuzz.check.base import NOBODY
from tdxfuzz.check.finding import Finding
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.sim import CodePlace, Hang, HarnessError, StepBound, StopRun, StrayExitError

if TYPE_CHECKING:
    from tdxfuzz.run.result import Run

CRASH = "crash"
HANG = "hang"
"""What the buckets of design errors begin with. No check has such a name."""

OURS = Path(__file__).parents[1]
OURS_BY_NAME = "tdxfuzz."


class DesignError(HarnessError):
    """A design raised, or did not come back: a mistake in its code, never a finding.

    ``details`` is a traceback. ``kind`` is :data:`CRASH` or :data:`HANG`, ``what`` the exception's
    name, ``function`` where it happened. ``run`` is the run up to there, with all that as its
    finding; None if there was no host yet.
    """

    def __init__(
        self, message: str, details: str, kind: str = CRASH, what: str = NOBODY, function: str = ""
    ) -> None:
        super().__init__(message)
        self.details = details
        self.kind = kind
        self.what = what
        self.function = function or NOBODY
        self.run: Run | None = None

    def as_finding(self, step: int, cpu: int) -> Finding:
        """What a reproducer of it is to show."""
        return Finding(self.kind, self.what, self.function, NOBODY, step, cpu, str(self))


@contextmanager
def blaming(layer_class: type[RefcountLayer]) -> Iterator[None]:
    """Turn whatever a design raises into a :class:`DesignError` that says so.

    Raises:
        DesignError: the block raised something that is neither ours nor the user's Ctrl-C.
    """
    try:
        yield
    except Hang as hang:
        raise _hang(layer_class, hang.places, str(hang), hang) from None
    except (HarnessError, StopRun, GreenletExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _crash(layer_class, error) from error


def own_place(places: Sequence[CodePlace], layer_class: type[RefcountLayer]) -> CodePlace | None:
    """The innermost place that is the design's, or else one that is not ours."""
    own_files = _files_of(layer_class)
    own = [place for place in places if place.file in own_files]
    theirs = [place for place in places if OURS not in Path(place.file).parents]
    return next(iter(own or theirs), None)


def setup_without_end(layer_class: type[RefcountLayer], bound: StepBound) -> DesignError:
    """The error for a set-up that goes on for ever."""
    places = [place for _, places in bound.standing for place in places]
    return _hang(layer_class, places, str(bound), bound)


def _hang(
    layer_class: type[RefcountLayer], places: Sequence[CodePlace], how: str, error: BaseException
) -> DesignError:
    place = own_place(places, layer_class)
    at = "" if place is None else f" in {place.function} ({place.file}:{place.line})"
    return DesignError(
        f"design {layer_class.__name__} hangs{at}: {how}",
        "".join(traceback.format_exception(error)),
        HANG,
        NOBODY,
        "" if place is None else place.function,
    )


def _crash(layer_class: type[RefcountLayer], error: BaseException) -> DesignError:
    frames = traceback.extract_tb(error.__traceback__)
    places = [CodePlace(f.filename, f.lineno or 0, f.name) for f in reversed(frames)]
    own = [place for place in places if place.file in _files_of(layer_class)]
    name, text = type(error).__name__, _text_of(error)
    if isinstance(error, StrayExitError):
        name, text = text, "it would end the CPU in silence"
    kind = f"{name}: {text}"
    if own:
        message = f"design {layer_class.__name__} raised {kind} ({own[0].file}:{own[0].line})"
    else:
        message = f"internal error under design {layer_class.__name__}, please report it: {kind}"
    details = "".join(traceback.format_list(frames)) + kind
    return DesignError(message, details, CRASH, name, own[0].function if own else "")


def _text_of(error: BaseException) -> str:
    """What an exception says; its own code may raise."""
    try:
        return str(error)
    except Exception:
        return "(its text cannot be made)"


def _files_of(layer_class: type[RefcountLayer]) -> set[str]:
    """The files that a design's own methods are in, those of its bases too but for ours."""
    own = {thing.__code__.co_filename for thing in vars(layer_class).values() if isfunction(thing)}
    inherited = {
        thing.__code__.co_filename
        for base in layer_class.__mro__
        for thing in vars(base).values()
        if isfunction(thing)
    }
    return own | {file for file in inherited if OURS not in Path(file).parents}
