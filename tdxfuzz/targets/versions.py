"""Two recordings of the same calls: what changed between two versions of a module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from tdxfuzz.abi import status
from tdxfuzz.case.untrusted import UntrustedError, json_value
from tdxfuzz.targets.count import event_text, first_difference
from tdxfuzz.targets.json_values import hex_of, mapping, sequence
from tdxfuzz.targets.recording import COMPARED, RecordingError, event_of, lines_of

Json = Mapping[str, object]
Change = tuple[str, str, str, str]
"""Leaf, what changed (``status``, a register, ``locks``, ``final`` and a part), and both values."""


@frozen
class VersionChanges:
    """Changes, and in how many traces each is the first one. Behind a change of a status the state
    is another one, and a trace is left. ``without_state`` are traces whose final state one file has
    and the other lacks, as a whole or in part.
    """

    traces: int
    only_in_one: int
    without_state: int = 0
    changes: Counter[Change] = field(factory=Counter)


def changes_between(one: Path, other: Path) -> VersionChanges:
    """Compare the traces that both files have, by their ids.

    Raises:
        RecordingError: a file cannot be read, or the files have no trace of the same calls.
    """
    left, right = _traces(one), _traces(other)
    changes: Counter[Change] = Counter()
    same = without_state = 0
    for name in left.keys() & right.keys():
        try:
            found = list(_changes(left[name], right[name]))
        except (KeyError, TypeError, ValueError) as error:
            raise RecordingError(other, 0, f"trace {name}: not a recording: {error!r}") from None
        same += 1
        without_state += _parts(left[name]).keys() != _parts(right[name]).keys()
        changes.update(found)
    if not same:
        raise RecordingError(other, 0, f"has no trace of {one.name}, by its id")
    return VersionChanges(same, len(left.keys() ^ right.keys()), without_state, changes)


def _traces(path: Path) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for number, line in lines_of(path):
        try:
            data = mapping(json_value(line))
            found[str(data["id"])] = data
        except (UntrustedError, TypeError, KeyError) as error:
            raise RecordingError(path, number, f"not a recording: {error!r}") from None
    return found


def _changes(left: Json, right: Json) -> Iterator[Change]:
    if left["config"] != right["config"]:
        raise ValueError("another machine; record both with the same seed")
    for one, other in zip(_calls(left), _calls(right), strict=True):
        if any(one[name] != other[name] for name in ("leaf", "in", "version", "cpu")):
            raise ValueError("other calls; record both with the same seed")
        found = list(_call_changes(one, other))
        yield from found
        if any(what == "status" for _, what, _, _ in found):
            return
    events = list(_event_changes(left, right))
    yield from events
    if events:
        return
    one_state, other_state = _parts(left), _parts(right)
    for part in one_state.keys() & other_state.keys():
        if one_state[part] != other_state[part]:
            yield _leaves(left), f"final {part}", "", ""


def _parts(data: Json) -> Json:
    """The final state, as far as it was recorded."""
    return {} if data.get("final") is None else mapping(data["final"])


def _calls(data: Json) -> list[dict[str, object]]:
    calls = [*sequence(data.get("setup", [])), *sequence(data.get("calls", []))]
    if isinstance(data.get("call"), dict):
        calls.append(data["call"])
    for program in sequence(data.get("programs", [])):
        calls += sequence(mapping(program)["calls"])
    return [mapping(call) for call in calls]


def _call_changes(one: Json, other: Json) -> Iterator[Change]:
    leaf = str(one["name"])
    words = [_status_text(call.get("status")) for call in (one, other)]
    if words[0] != words[1]:
        yield leaf, "status", words[0], words[1]
        return
    if one.get("out") == other.get("out"):
        return
    left, right = mapping(one["out"]), mapping(other["out"])
    for name in COMPARED:
        if left[name] != right[name]:
            yield leaf, name, "", ""


def _status_text(word: object) -> str:
    return "did not return" if word is None else str(status(hex_of(word)))


def _event_changes(left: Json, right: Json) -> Iterator[Change]:
    sides = [_events(data) for data in (left, right)]
    at = first_difference(*sides)
    if at < max(map(len, sides)):
        one, other = (side[at] if at < len(side) else "no event" for side in sides)
        yield _leaves(left), "locks", one, other


def _events(data: Json) -> Sequence[str]:
    """Events without the indices of what they are about."""
    entries = [sequence(each) for each in sequence(data.get("events", []))]
    entries += [sequence(each)[1:] for each in sequence(data.get("order", []))]
    texts = []
    for entry in entries:
        op, mode, what, ok = event_of(entry)
        texts.append(event_text((op, mode, what.partition("[")[0], ok)))
    return texts


def _leaves(data: Json) -> str:
    """The leaf that a trace is about; of a trace about several, what these are."""
    if isinstance(data.get("call"), dict):
        return str(mapping(data["call"])["name"])
    return "programs" if "programs" in data else "calls"
