"""Contention recordings: two calls at once, in every order of few switches.

The README's section 6 says which orders were run. The model runs the same ones and must
give the same classes: statuses, outputs, final state, how often each occurs, which
host-priority bits are left, and which serial order each equals.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping

from attrs import frozen

from tdxfuzz.abi import status
from tdxfuzz.module.errors import LeafNotModelledError
from tdxfuzz.module.snapshot import Snapshot, snapshot
from tdxfuzz.targets.count import Count, event_differences, replay_setup
from tdxfuzz.targets.drive import EventOrder
from tdxfuzz.targets.interleaved import Driven, drive
from tdxfuzz.targets.json_values import hex_of, mapping, sequence
from tdxfuzz.targets.recording import (
    CallResult,
    Fatal,
    LockEvent,
    RecordedCall,
    call_of,
    calls_of,
    fatal_of,
    order_of,
    outputs_of,
)
from tdxfuzz.targets.world import World, refuse_missing, world_of

A, B = 1, 2
"""The CPUs on which the two calls run."""

Class = tuple[str, str, str, str]
"""What a class is told apart by: results of A and B, hash of the final state, fatal."""


@frozen
class PairOutcome:
    """One recorded class."""

    key: Class
    count: int
    equivalent_serial: tuple[str, ...]
    hp_sets: Mapping[tuple[str, ...], int]
    example: tuple[tuple[int, LockEvent], ...]


@frozen
class CallPair:
    """Two calls, the state they start from, and the classes of their outcomes."""

    id: str
    name: str
    world: World
    setup: tuple[RecordedCall, ...]
    calls: Mapping[int, RecordedCall]
    events: Mapping[int, int]
    interleavings: int
    outcomes: tuple[PairOutcome, ...]


def parse(data: Mapping[str, object], params: Mapping[str, bytes]) -> CallPair:
    """One line of the file."""
    alone = mapping(data["alone"])
    events = {}
    for cpu, name in ((A, "A"), (B, "B")):
        number = mapping(alone[name])["events"]
        if not isinstance(number, int):
            raise TypeError("'events' must be a number")
        events[cpu] = number
    interleavings = data["interleavings"]
    if not isinstance(interleavings, int):
        raise TypeError("'interleavings' must be a number")
    world, setup = world_of(mapping(data["config"]), params), calls_of(data["setup"])
    refuse_missing(world, (A, B, *(call.cpu for call in setup)))
    return CallPair(
        id=str(data["id"]),
        name=str(data["name"]),
        world=world,
        setup=setup,
        calls={A: _started(data["A"], A), B: _started(data["B"], B)},
        events=events,
        interleavings=interleavings,
        outcomes=tuple(_outcome(mapping(item)) for item in sequence(data["outcomes"])),
    )


def _started(data: object, cpu: int) -> RecordedCall:
    """A call of the pair: its results stand with the outcomes."""
    call = {name: value for name, value in mapping(data).items() if name not in ("status", "out")}
    return call_of(call, cpu)


def _outcome(data: Mapping[str, object]) -> PairOutcome:
    count = data["count"]
    if not isinstance(count, int):
        raise TypeError("'count' must be a number")
    hp_sets = {}
    for item in sequence(data.get("hp_sets", [])):
        names, number = sequence(item)
        if not isinstance(number, int):
            raise TypeError("'hp_sets' must be lists of names with a number each")
        hp_sets[tuple(sorted(map(str, sequence(names))))] = number
    result_a, result_b = (_result_text(_result(data[name])) for name in ("A", "B"))
    fatal = fatal_of(data.get("fatal"))
    return PairOutcome(
        key=(result_a, result_b, str(data.get("final_sha256_16", "")), str(fatal or "")),
        count=count,
        equivalent_serial=tuple(map(str, sequence(data["equivalent_serial"]))),
        hp_sets=hp_sets,
        example=order_of(data["example"]),
    )


def _result(data: object) -> CallResult | None:
    if data is None:
        return None
    result = mapping(data)
    return CallResult(status(hex_of(result["status"])), outputs_of(mapping(result["out"])))


def compare(pair: CallPair, count: Count) -> None:
    """All orders of a pair: one item."""
    where = f"pair {pair.id} ({pair.name})"
    try:
        text = replay_setup(pair.setup, pair.world.build(), where)
        trouble = [] if text else _trouble(pair)
    except LeafNotModelledError as error:
        count.leaf_missing(str(error).split()[0])
        return
    if trouble:
        calls = f"A: {pair.calls[A]}\n  B: {pair.calls[B]}"
        lines = "\n".join(f"  {line}" for line in trouble)
        text = f"{where}\n  {calls}\n{lines}"
    count.add(f"{pair.calls[A].name} / {pair.calls[B].name}", 1, text is None, text)


def _trouble(pair: CallPair) -> list[str]:
    """How the model's classes differ from the recorded ones; empty if they do not."""
    counts: Counter[Class] = Counter()
    hp_sets: dict[Class, Counter[tuple[str, ...]]] = {}
    runs = 0
    for order, then in _orders(pair):
        key, left = _run(pair, EventOrder(order, early=True, then=then))[:2]
        counts[key] += 1
        hp_sets.setdefault(key, Counter())[left] += 1
        runs += 1
    if runs != pair.interleavings:
        return [f"orders: recorded {pair.interleavings}, model {runs}"]
    serial = {
        "AB": _run(pair, EventOrder((), early=False, then=(A, B)))[0],
        "BA": _run(pair, EventOrder((), early=False, then=(B, A)))[0],
    }
    recorded = {outcome.key: outcome for outcome in pair.outcomes}
    lines = []
    for key in counts.keys() - recorded.keys():
        lines.append(f"only the model gives {_class_text(key)}, {counts[key]} times")
    for key, outcome in recorded.items():
        if counts[key] != outcome.count:
            lines.append(f"{_class_text(key)}: recorded {outcome.count} times, model {counts[key]}")
        elif key[3] == "" and hp_sets[key] != Counter(outcome.hp_sets):
            lines.append(
                f"{_class_text(key)}: host priority recorded {dict(outcome.hp_sets)}, "
                f"model {dict(hp_sets[key])}"
            )
        equal = tuple(name for name, value in serial.items() if value == key and key[3] == "")
        if equal != outcome.equivalent_serial:
            lines.append(
                f"{_class_text(key)}: equal serial orders: recorded "
                f"{outcome.equivalent_serial}, model {equal}"
            )
        lines += _example_trouble(pair, outcome)
    return lines


def _example_trouble(pair: CallPair, outcome: PairOutcome) -> list[str]:
    """The recorded example order, driven: same events, same class."""
    order = [cpu for cpu, _ in outcome.example]
    key, _, driven = _run(pair, EventOrder(order, early=True))
    wanted = [event for _, event in outcome.example if event[3] is not None]
    lines = event_differences(wanted, [event for _, event in driven.events])
    if key != outcome.key:
        lines.append(f"example of {_class_text(outcome.key)} gives {_class_text(key)}")
    return lines


def _orders(pair: CallPair) -> Iterator[tuple[list[int], tuple[int, int]]]:
    """First i events of one, j of the other, then the first to its end, then the other."""
    for first, second in ((A, B), (B, A)):
        for i in range(pair.events[first] + 1):
            for j in range(pair.events[second] + 1):
                yield [first] * i + [second] * j, (first, second)


def _run(pair: CallPair, policy: EventOrder) -> tuple[Class, tuple[str, ...], Driven]:
    """One order on the model: its class, the host-priority bits left, and the events."""
    bench = pair.world.build(cpus=3)
    for call in pair.setup:
        call.on(bench)
    driven = drive(bench, {cpu: (call,) for cpu, call in pair.calls.items()}, policy)
    fatal: Fatal | None = driven.fatal
    results = [_result_text(driven.results.get((cpu, 0))) for cpu in (A, B)]
    if fatal is not None:
        died = A if fatal[0] == A else B
        results[died - A] = _result_text(None)
        return (results[0], results[1], "", str(fatal)), (), driven
    state = snapshot(bench.module)
    key = (results[0], results[1], _state_hash(state), "")
    return key, tuple(sorted(map(str, state["hp"]))), driven


def _state_hash(state: Snapshot) -> str:
    """As recorded: over the state without its host-priority bits."""
    without_hp = {part: value for part, value in state.items() if part != "hp"}
    return hashlib.sha256(json.dumps(without_hp, sort_keys=True).encode()).hexdigest()[:16]


def _result_text(result: CallResult | None) -> str:
    if result is None:
        return "never returned"
    outputs = " ".join(f"{name}={value:#x}" for name, value in result.outputs.items() if value)
    return f"{result.status} {outputs}".strip()


def _class_text(key: Class) -> str:
    a, b, state, fatal = key
    end = f"fatal {fatal}" if fatal else f"state {state}"
    return f"[A = {a}; B = {b}; {end}]"
