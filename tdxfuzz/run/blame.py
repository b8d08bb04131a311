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
from tdxfuzz.host.c.errors import CodeError
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.sim import (
    CodePlace,
    Cpu,
    Hang,
    HarnessError,
    Livelock,
    StepBound,
    StopRun,
    StrayExitError,
)

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
        self,
        message: str,
        details: str = "",
        kind: str = CRASH,
        what: str = NOBODY,
        function: str = "",
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
        place = own_place(hang.places, layer_class)
        raise _hang(layer_class, place, str(hang), hang) from None
    except CodeError as error:
        kind = HANG if error.hangs else CRASH
        raise DesignError(str(error), "", kind, error.what or NOBODY, error.function) from None
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


def without_end(layer: RefcountLayer, current: Cpu, endless: StepBound | Livelock) -> DesignError:
    """The error for a design's ``setup``, or the set-up of a world, that goes on for ever."""
    places = _places(endless)
    place = layer.place_of(current.id) or own_place(places, type(layer))
    return _hang(type(layer), place, str(endless), endless)


def _hang(
    layer_class: type[RefcountLayer], place: CodePlace | None, how: str, error: BaseException
) -> DesignError:
    at = "" if place is None else f" in {place.function} ({place.file}:{place.line})"
    # Of C a traceback shows nothing.
    details = traceback.format_exception(error) if layer_class.c_file is None else ()
    return DesignError(
        f"design {layer_class.__name__} hangs{at}: {how}",
        "".join(details),
        HANG,
        NOBODY,
        "" if place is None else place.function,
    )


def _crash(layer_class: type[RefcountLayer], error: BaseException) -> DesignError:
    own = [place for place in _places(error) if place.file in _files_of(layer_class)]
    name, text = type(error).__name__, _text_of(error)
    if isinstance(error, StrayExitError):
        name, text = text, "it would end the CPU in silence"
    kind = f"{name}: {text}"
    if own:
        message = f"design {layer_class.__name__} raised {kind} ({own[0].file}:{own[0].line})"
    else:
        message = f"internal error under design {layer_class.__name__}, please report it: {kind}"
    details = "".join(traceback.format_tb(error.__traceback__)) + kind
    return DesignError(message, details, CRASH, name, own[0].function if own else "")


def _places(error: BaseException) -> list[CodePlace]:
    """The functions that an exception came through, the innermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    return [CodePlace(f.filename, f.lineno or 0, f.name) for f in reversed(frames)]


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
