"""Whose mistake it is when code under test raises, loops without a step, or does not end."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve
from greenlet import GreenletExit

from tdxfuzz.check.base import NOBODY
from tdxfuzz.check.finding import Finding
from tdxfuzz.host.c.errors import CodeError
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.result_error import ResultError
from tdxfuzz.module.variants import variant_with_code_in
from tdxfuzz.sim import (
    CodePlace,
    Cpu,
    Hang,
    HarnessError,
    Livelock,
    Nondeterminism,
    StepBound,
    StopRun,
    StrayExitError,
    is_ctrl_c,
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


class NotDeterministicError(DesignError, Nondeterminism):
    """Something besides the case has decided in a run: ``run`` is one that another differs from."""

    def __init__(self, message: str, one: Run) -> None:
        super().__init__(message, what="Nondeterminism", details="")
        self.run = evolve(one, findings=(self.as_finding(max(one.outcome.steps - 1, 0), 0),))


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
    except DesignError:
        raise
    except HarnessError as error:
        place = _misused_at(layer_class, error)
        if place is None:
            raise
        details = "".join(traceback.format_exception(error))
        at = f"{error} ({place.file}:{place.line})"
        what = type(error).__name__
        raise DesignError(at, details, CRASH, what, place.function) from error
    except (StopRun, GreenletExit):
        raise
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        raise _crash(layer_class, error) from error


def _misused_at(layer_class: type[RefcountLayer], error: HarnessError) -> CodePlace | None:
    """Where a design has used the harness wrongly; None if it is not the design's code."""
    if layer_class.c_file is not None:
        return None
    if isinstance(error, ResultError):
        code = getattr(getattr(error.owner, error.function), "__code__", None)
        return code and CodePlace(code.co_filename, code.co_firstlineno, error.function)
    own_files = _files_of(layer_class)
    return next((place for place in _places(error) if place.file in own_files), None)


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
        f"{_name_of(layer_class, place)} hangs{at}: {how}",
        "".join(details),
        HANG,
        NOBODY,
        "" if place is None else place.function,
    )


def _crash(layer_class: type[RefcountLayer], error: BaseException) -> DesignError:
    own = [
        place
        for place in _places(error)
        if place.file in _files_of(layer_class) or variant_with_code_in(place.file)
    ]
    name, text = type(error).__name__, _text_of(error)
    if isinstance(error, StrayExitError):
        name, text = text, "it would end the CPU in silence"
    kind = f"{name}: {text}"
    if own:
        name_of_own = _name_of(layer_class, own[0])
        message = f"{name_of_own} raised {kind} ({own[0].file}:{own[0].line})"
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


def _name_of(layer_class: type[RefcountLayer], place: CodePlace | None) -> str:
    """Whose code is at a place: the design's, or that of the KVM it runs under."""
    variant = None if place is None else variant_with_code_in(place.file)
    if variant is not None:
        return f"variant {variant}"
    kvm = layer_class.kvm
    if kvm is not None and place is not None and place.file in _files_with(kvm):
        return f"KVM {kvm.__name__}"
    return f"design {layer_class.__name__}"


def _files_of(layer_class: type[RefcountLayer]) -> set[str]:
    """The files that the methods of a design, and of the KVM that it brings, are in; those of
    their bases too but for ours.
    """
    # The class that puts a design under a KVM has no methods.
    written = next(
        each for each in layer_class.__mro__ if any(map(isfunction, vars(each).values()))
    )
    own = {thing.__code__.co_filename for thing in vars(written).values() if isfunction(thing)}
    kvm = set() if layer_class.kvm is None else _files_with(layer_class.kvm)
    return own | _files_with(layer_class) | kvm


def _files_with(kind: type) -> set[str]:
    """The files with methods of a class and of its bases, but for ours."""
    files = {
        thing.__code__.co_filename
        for base in kind.__mro__
        for thing in vars(base).values()
        if isfunction(thing)
    }
    return {file for file in files if OURS not in Path(file).parents}
