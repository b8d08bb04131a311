"""Sequential recordings: every status, every output register, the final state.

The module is up when they start, or at reset.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from tdxfuzz.module.errors import LeafNotModelledError
from tdxfuzz.module.snapshot import snapshot
from tdxfuzz.targets.count import (
    Count,
    explain,
    fatal_differences,
    self_contradictions,
    state_differences,
)
from tdxfuzz.targets.json_values import mapping
from tdxfuzz.targets.recording import Fatal, RecordedCall, calls_of, fatal_of
from tdxfuzz.targets.world import ModelUnderTest, World, refuse_missing, world_of


@frozen
class CallSequence:
    """Calls, and the state they end in; None if the last one was fatal, or nobody noted it."""

    id: str
    kind: str
    world: World
    calls: tuple[RecordedCall, ...]
    final: Mapping[str, object] | None
    fatal: Fatal | None = None


def parse(data: Mapping[str, object], params: Mapping[str, bytes]) -> CallSequence:
    """One line of the file."""
    world = world_of(mapping(data["config"]), params)
    calls = calls_of(data["calls"])
    refuse_missing(world, (call.cpu for call in calls))
    final = data["final"]
    return CallSequence(
        id=str(data["id"]),
        kind=str(data.get("kind", "")),
        world=world,
        calls=calls,
        final=None if final is None else mapping(final),
        fatal=fatal_of(data.get("fatal")),
    )


def compare(trace: CallSequence, count: Count, self_check: bool = True) -> None:
    """Call by call; a trace is left at its first divergence, for the rest follows from it.

    An item is a call; a final state that differs counts against the last one. With
    ``self_check`` the model's own tables must agree with each other after every call.
    """
    bench = trace.world.build()
    for i, call in enumerate(trace.calls):
        try:
            differences = call.differences(call.on(bench))
        except LeafNotModelledError as error:
            count.leaf_missing(str(error).split()[0])
            return
        if not differences and self_check and bench.module.dead is None:
            differences = self_contradictions(bench)
        if not differences and i == len(trace.calls) - 1:
            differences = _ending(trace, call, bench, count)
        if differences:
            where = f"trace {trace.id}, call {i}"
            count.add(trace.kind, 1, 0, explain(where, trace.calls[:i], call, differences))
            return
        count.add(trace.kind, 1, 1)


def _ending(
    trace: CallSequence, last: RecordedCall, bench: ModelUnderTest, count: Count
) -> list[str]:
    """How the ends differ: in whether the module died, or in the final state."""
    dead = bench.module.dead
    died = None if dead is None else (last.cpu, dead.fatal_id)
    if died != trace.fatal:
        return fatal_differences(trace.fatal, died)
    if died is not None:
        return []
    count.final(trace.final)
    return state_differences(trace.final or {}, dict(snapshot(bench.module)))
