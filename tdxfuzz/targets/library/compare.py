"""The first thing in which two sides differ, and what tells divergences apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from tdxfuzz.abi import BY_NUMBER
from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.targets.count import event_text, first_difference
from tdxfuzz.targets.library.names import kind_of_resource
from tdxfuzz.targets.library.trial import AT_END, Outcome, State, Stop, Trial
from tdxfuzz.targets.recording import COMPARED, CallResult, LockEvent, RecordedCall

Key = tuple[str, str, str, str]
"""Leaf, field, and the classes of both values: two divergences of one key are taken for one."""

_Entry = tuple[int, LockEvent]
NO_EVENT = "no event"

IN_PROGRAMS = -2
"""The place of a divergence behind the calls of a trial."""


@frozen
class Divergence:
    """Where the model and a library differ.

    Args:
        leaf: the call's, e.g. ``TDH.MNG.CREATE``; ``reset`` for what differs before any call;
            ``programs`` for the state behind these; a function of the header, e.g.
            ``tdxt_snapshot``, if a library crashed or hung in it outside of calls.
        field: ``status``, a register, ``guest`` (what it is told), ``event``, ``state.`` and a part
            of the snapshot, or how one side ended: ``fatal``, ``crash``, ``hang``, ``raised``.
        model: the model's value, as a text.
        library: the library's.
        key: what it is told apart by.
        place: after how many calls; or in the programs.
    """

    leaf: str
    field: str
    model: str
    library: str
    key: Key
    place: int


def compare(
    trial: Trial, model: Outcome, library: Outcome, passed: Callable[[Divergence], bool]
) -> Divergence | None:
    """The first divergence of a trial that is not to be passed over; None if there is none.

    ``passed`` is asked only about those behind which both sides can still be compared.
    """
    for place, call in enumerate(trial.calls):
        differs = _state_at(trial, place, model, library)
        if differs is not None:
            return differs
        cause = _call_events(call, place, model, library)
        if cause is not None and not passed(cause):
            return cause
        left = model.results[place] if place < len(model.results) else None
        right = library.results[place] if place < len(library.results) else None
        if left is None or right is None:
            return _ends(leaf_name(call), place, model, library, left, right)
        if cause is not None:
            continue  # what the call answers follows from it
        for found in _fields(call, place, left, right):
            if not passed(found):
                return found
    differs = _state_at(trial, len(trial.calls), model, library)
    if differs is not None:
        return differs
    if library.stop is not None and library.stop.function:
        return _ends(library.stop.function, len(trial.calls), model, library, None, None)
    return None if not trial.programs else _programs(trial, model, library, passed)


def calls_compared(trial: Trial, model: Outcome, library: Outcome, found: Divergence | None) -> int:
    """How many calls of a trial were compared if ``found`` is its first divergence: those before
    it, and the one that shows it. In programs a divergence leaves all of them in doubt.
    """
    if found is None:
        came_back = min(len(model.results), len(library.results))
        died = model.stop is not None  # of the same on both sides
        return came_back + len(model.ran.keys() & library.ran.keys()) + died
    if found.place == IN_PROGRAMS:
        return len(trial.calls)
    is_between_calls = found.field.startswith("state.")
    return min(found.place + (not is_between_calls), len(trial.calls))


def _call_events(
    call: RecordedCall, place: int, model: Outcome, library: Outcome
) -> Divergence | None:
    """The first event of a call that differs, if both sides looked closely and it came back."""
    if place >= min(len(model.of_calls), len(library.of_calls)):
        return None
    left, right = model.of_calls[place], library.of_calls[place]
    at = first_difference(left, right)
    if at >= max(len(left), len(right)):
        return None
    texts, classes = _texts_of_events(
        [(call.cpu, event) for event in left], [(call.cpu, event) for event in right], at
    )
    return _divergence(leaf_name(call), "event", texts, classes, place)


def _programs(
    trial: Trial, model: Outcome, library: Outcome, passed: Callable[[Divergence], bool]
) -> Divergence | None:
    if library.stop is not None and library.stop.kind in ("crash", "hang"):
        call = call_at(trial, library.stop)
        return _ends(leaf_name(call), IN_PROGRAMS, model, library, None, None)
    at = first_difference(model.events, library.events)
    if at < max(len(model.events), len(library.events)):
        return _event(trial, model, library, at)
    for lp, calls in sorted(trial.programs.items()):
        for i, call in enumerate(calls):
            left, right = model.ran.get((lp, i)), library.ran.get((lp, i))
            if left is None or right is None:
                if left is not right:
                    return _ends(leaf_name(call), IN_PROGRAMS, model, library, left, right)
                break
            for found in _fields(call, IN_PROGRAMS, left, right):
                if not passed(found):
                    return found
    if model.stop != library.stop:
        call = next(iter(trial.programs.values()))[0]
        return _ends(leaf_name(call), IN_PROGRAMS, model, library, None, None)
    return _state_at(trial, AT_END, model, library)


def call_at(trial: Trial, stop: Stop) -> RecordedCall:
    """The call of a program in which a side stopped."""
    calls = trial.programs.get(stop.lp) or next(iter(trial.programs.values()))
    return calls[min(stop.place, len(calls) - 1)]


def _event(trial: Trial, model: Outcome, library: Outcome, at: int) -> Divergence:
    """An event that only one side has, or that is another one."""
    left = model.events[at] if at < len(model.events) else None
    right = library.events[at] if at < len(library.events) else None
    lp, _ = left or right or (0, None)
    last = trial.programs[lp][-1]
    call = trial.programs[lp][model.within[at]] if left is not None else last
    texts, classes = _texts_of_events(model.events, library.events, at)
    return _divergence(leaf_name(call), "event", texts, classes, IN_PROGRAMS)


def _texts_of_events(
    model: Sequence[_Entry], library: Sequence[_Entry], at: int
) -> tuple[list[str], list[str]]:
    """Both sides' events at a place, and their classes. A side whose event is the other one's next
    has none here: it leaves one out.
    """
    sides = [model[at] if at < len(model) else None, library[at] if at < len(library) else None]
    for i, other in ((0, library), (1, model)):
        if at + 1 < len(other) and sides[i] == other[at + 1]:
            sides[i] = None
            break
    return [_event_text(entry) for entry in sides], [_class_of_event(entry) for entry in sides]


def _event_text(entry: _Entry | None) -> str:
    return NO_EVENT if entry is None else f"LP {entry[0]} {event_text(entry[1])}"


def _class_of_event(entry: _Entry | None) -> str:
    if entry is None:
        return NO_EVENT
    op, mode, what, ok = entry[1]
    return event_text((op, mode, kind_of_resource(what), ok))


def _fields(
    call: RecordedCall, place: int, left: CallResult, right: CallResult
) -> list[Divergence]:
    """Status and registers that differ."""
    found = []
    if left.status != right.status:
        words = (left.status, right.status)
        texts, classes = [word.in_full for word in words], [str(word) for word in words]
        found.append(_divergence(leaf_name(call), "status", texts, classes, place))
    if left.outputs != right.outputs:
        for name in COMPARED:
            one, other = left.outputs[name], right.outputs[name]
            if one != other and name not in call.left_out:
                texts = [f"{one:#x}", f"{other:#x}"]
                found.append(
                    _divergence(
                        leaf_name(call), name, texts, [_class_of(one), _class_of(other)], place
                    )
                )
    if left.told != right.told:
        at = first_difference(left.told, right.told)
        sides = [told[at] if at < len(told) else "left" for told in (left.told, right.told)]
        classes = [" ".join(text.split(" ")[:2]) for text in sides]
        found.append(_divergence(leaf_name(call), "guest", sides, classes, place))
    return found


def _class_of(value: int) -> str:
    if value in (0, (1 << 64) - 1):
        return f"{value:#x}"
    if value < SIZE_4K:
        return "small"
    return "address" if value % SIZE_4K == 0 and value < 1 << 52 else "other"


def _ends(
    leaf: str,
    place: int,
    model: Outcome,
    library: Outcome,
    left: CallResult | None,
    right: CallResult | None,
) -> Divergence | None:
    """One side did not come back from a call, or both for different reasons."""
    classes = [_end_class(left, model.stop), _end_class(right, library.stop)]
    stop = library.stop if right is None and library.stop is not None else model.stop
    if classes[0] == classes[1] or stop is None:
        return None
    sides = zip((left, right), classes, strict=True)
    texts = [text if result is None else result.status.in_full for result, text in sides]
    if library.stop is not None and library.stop.kind in ("crash", "hang"):
        # Whatever the model answers; and a hang is met at any place of its loop.
        classes = ["", "hang" if library.stop.kind == "hang" else classes[1]]
    kind = "raised" if model.stop is not None and model.stop.kind == "raised" else stop.kind
    return _divergence(stop.function or leaf, kind, texts, classes, place)


def _end_class(result: CallResult | None, stop: Stop | None) -> str:
    if result is not None:
        return str(result.status)
    return "went on" if stop is None else f"{stop.kind}: {stop.text}"


def _state_at(trial: Trial, place: int, model: Outcome, library: Outcome) -> Divergence | None:
    """Parts of a snapshot that differ; those that the library does not give are left out."""
    left, right = model.states.get(place), library.states.get(place)
    if left is None or right is None or left == right:
        return None
    part = next((name for name in left if name in right and left[name] != right[name]), None)
    if part is None:
        return None
    leaf = leaf_name(trial.calls[place - 1]) if place > 0 else "reset"
    if place == AT_END:
        place, leaf = IN_PROGRAMS, "programs"
    field, (one, other) = f"state.{part}", _only(left, right, part)
    return Divergence(leaf, field, one, other, (leaf, field, "", ""), place)


def _only(left: State, right: State, part: str) -> list[str]:
    """What only one side has in a part of a snapshot."""
    sides = [_items(left[part]), _items(right[part])]
    return [
        ", ".join(str(item) for item in one if item not in other) or "nothing"
        for one, other in (sides, sides[::-1])
    ]


def _items(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [f"{name}: {item}" for name, item in value.items()]
    return value if isinstance(value, list) else [value]


def _divergence(
    leaf: str, field: str, texts: list[str], classes: list[str], place: int
) -> Divergence:
    key = leaf, field, classes[0], classes[1]
    return Divergence(leaf, field, texts[0], texts[1], key, place)


def leaf_name(call: RecordedCall) -> str:
    """The leaf of a call, e.g. ``TDH.MNG.CREATE``."""
    leaf = BY_NUMBER.get(call.leaf)
    return "no leaf" if leaf is None else leaf.name
