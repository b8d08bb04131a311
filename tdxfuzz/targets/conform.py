"""Compare the model with recordings: how many items agree, and the first one that does not."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from attrs import field, frozen

from tdxfuzz.case.untrusted import UntrustedError, json_value
from tdxfuzz.targets import contention, interleaved, locks, sequential
from tdxfuzz.targets.count import Count
from tdxfuzz.targets.json_values import mapping
from tdxfuzz.targets.recording import RecordingError, lines_of, read_params

KINDS: tuple[tuple[str, str, ModuleType], ...] = (
    ("calls", "sequential", sequential),
    ("events", "locks", locks),
    ("outcomes", "contention", contention),
    ("programs", "interleaved", interleaved),
)
"""The field a kind is known by, its name, and the file that compares it."""


@frozen
class Conformance:
    """The result for one file.

    ``cut`` traces end at the first call of a leaf that is not modelled; ``not_modelled``
    names those leaves. ``by_group`` has (items, agreeing items) for each part of the
    file. ``first_divergence`` is a text of several lines. ``not_recorded`` has, by what of the
    final state is missing in the file, in how many traces: none of that was compared. ``died`` has
    the crash or hang that each divergence in the file records: the model has no such answer.
    """

    path: Path
    kind: str
    traces: int
    items: int
    agree: int
    cut: int
    not_modelled: frozenset[str]
    first_divergence: str | None
    by_group: Mapping[str, tuple[int, int]] = field(factory=dict)
    not_recorded: Mapping[str, int] = field(factory=dict)
    died: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """``fail`` if something does not agree, ``unknown`` if nothing was compared, ``pass``."""
        if self.agree != self.items or self.died:
            return "fail"
        return "pass" if self.items else "unknown"


def conform(
    path: Path, progress: Callable[[int], None] | None = None, stop_early: bool = False
) -> Conformance:
    """Run the model beside one recording file.

    Args:
        path: the file.
        progress: told how many traces are done.
        stop_early: leave the file at the first trace that does not agree.

    Raises:
        RecordingError: the file cannot be read.
    """
    params = read_params(path)
    count = Count()
    kinds: set[str] = set()
    traces = 0
    died: list[str] = []
    for number, line in lines_of(path):
        kind, compare, trace, end = _parse(path, number, line, params)
        died += [end] if end else []
        kinds.add(kind)
        if len(kinds) > 1:
            names = ", ".join(sorted(kinds))
            raise RecordingError(path, number, f"one file must have one kind, not {names}")
        _compare(compare, trace, count, f"line {number}", kind)
        traces += 1
        if progress is not None:
            progress(traces)
        if stop_early and count.first is not None:
            break
    if not kinds:
        raise RecordingError(path, 0, "the file is empty")
    return Conformance(
        path=path,
        kind=kinds.pop(),
        traces=traces,
        items=count.items,
        agree=count.agree,
        cut=count.cut,
        not_modelled=frozenset(count.not_modelled),
        first_divergence=count.first,
        by_group={group: (n, ok) for group, (n, ok) in sorted(count.groups.items())},
        not_recorded=dict(sorted(count.not_recorded.items())),
        died=tuple(died),
    )


def _compare(
    compare: Callable[[object, Count], None], trace: object, count: Count, where: str, kind: str
) -> None:
    """Compare one trace; a model that raises does not agree, and the rest goes on."""
    try:
        compare(trace, count)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        name = f"{where}, trace {getattr(trace, 'id', '?')}"
        count.add(
            kind, 1, 0, f"{name}: the model raised {type(error).__name__} at {place}: {error}"
        )


def _died(data: Mapping[str, object]) -> str:
    """How a divergence says that its library ended in a crash or hang; else empty."""
    if "expect" not in data:
        return ""
    expect = mapping(data["expect"])
    is_death = expect.get("field") in ("crash", "hang")
    return f"{expect['leaf']}: {expect['library']}" if is_death else ""


def _parse(
    path: Path, number: int, line: str, params: Mapping[str, bytes]
) -> tuple[str, Callable[[object, Count], None], object, str]:
    """Kind, what compares it, the trace, and the crash or hang that it records, if any."""
    try:
        data = mapping(json_value(line))
        for mark, kind, module in KINDS:
            if mark in data:
                return kind, module.compare, module.parse(data, params), _died(data)
    except UntrustedError as error:
        raise RecordingError(path, number, error.problem) from None
    except KeyError as error:
        raise RecordingError(path, number, f"field {error.args[0]!r} is missing") from None
    except (TypeError, ValueError) as error:
        raise RecordingError(path, number, f"not a recording: {error}") from None
    marks = ", ".join(mark for mark, _, _ in KINDS)
    raise RecordingError(path, number, f"not a recording: it needs one of the fields {marks}")
