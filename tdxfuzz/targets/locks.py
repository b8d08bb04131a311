"""Lock recordings: one call, and the order of every lock and atomic event in it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from tdxfuzz.module.errors import LeafNotModelledError
from tdxfuzz.module.snapshot import snapshot
from tdxfuzz.targets.count import (
    Count,
    event_differences,
    explain,
    replay_setup,
    self_contradictions,
    state_differences,
)
from tdxfuzz.targets.json_values import mapping, sequence
from tdxfuzz.targets.recording import LockEvent, RecordedCall, call_of, calls_of, event_of
from tdxfuzz.targets.world import World, refuse_missing, world_of


@frozen
class LockCase:
    """A set-up, one call with its events, and the state it ends in; None if nobody noted it."""

    id: str
    name: str
    world: World
    setup: tuple[RecordedCall, ...]
    call: RecordedCall
    events: tuple[LockEvent, ...]
    final: Mapping[str, object] | None


def parse(data: Mapping[str, object], params: Mapping[str, bytes]) -> LockCase:
    """One line of the file."""
    world, call = world_of(mapping(data["config"]), params), call_of(mapping(data["call"]))
    setup = calls_of(data["setup"])
    refuse_missing(world, (made.cpu for made in (*setup, call)))
    return LockCase(
        id=str(data["id"]),
        name=str(data["name"]),
        world=world,
        setup=setup,
        call=call,
        events=tuple(map(event_of, sequence(data["events"]))),
        final=None if data["final"] is None else mapping(data["final"]),
    )


def compare(case: LockCase, count: Count) -> None:
    """The set-up, then the call with its events and the final state: one item."""
    bench = case.world.build()
    where = f"case {case.id} ({case.name})"
    try:
        trouble = replay_setup(case.setup, bench, where)
        if trouble is not None:
            count.add(case.call.name, 1, 0, trouble)
            return
        events: list[LockEvent] = []
        bench.sim.log = lambda op, mode, what, ok: events.append((op, mode, what, ok))
        result = case.call.on(bench)
    except LeafNotModelledError as error:
        count.leaf_missing(str(error).split()[0])
        return
    bench.sim.log = None
    differences = case.call.differences(result)
    differences += event_differences(case.events, events)
    count.final(case.final)
    differences += state_differences(case.final or {}, dict(snapshot(bench.module)))
    differences += self_contradictions(bench)
    if differences:
        trouble = explain(where, case.setup, case.call, differences)
        count.add(case.call.name, 1, 0, trouble)
    else:
        count.add(case.call.name, 1, 1)
