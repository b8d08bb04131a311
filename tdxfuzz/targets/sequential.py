"""Sequential recordings: every status, every output register, the final state."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from tdxfuzz.module.module import LeafNotModelledError
from tdxfuzz.module.snapshot import snapshot
from tdxfuzz.targets.count import Count, explain, self_contradictions, state_differences
from tdxfuzz.targets.recording import Config, RecordedCall, calls_of, config_of, mapping


@frozen
class CallSequence:
    """Calls from reset, and the state they end in."""

    id: str
    kind: str
    config: Config
    calls: tuple[RecordedCall, ...]
    final: Mapping[str, object]


def parse(data: Mapping[str, object], params: Mapping[str, bytes]) -> CallSequence:
    """One line of the file."""
    return CallSequence(
        id=str(data["id"]),
        kind=str(data.get("kind", "")),
        config=config_of(mapping(data["config"]), params),
        calls=calls_of(data["calls"]),
        final=mapping(data["final"]),
    )


def compare(trace: CallSequence, count: Count, self_check: bool = True) -> None:
    """Call by call; a trace is left at its first divergence, for the rest follows from it.

    An item is a call; a final state that differs counts against the last one. With
    ``self_check`` the model's own tables must agree with each other after every call.
    """
    bench = trace.config.build()
    for i, call in enumerate(trace.calls):
        try:
            differences = call.differences(call.on(bench))
        except LeafNotModelledError:
            count.leaf_missing(call.name)
            return
        if not differences and self_check:
            differences = self_contradictions(bench)
        if not differences and i == len(trace.calls) - 1:
            differences = state_differences(trace.final, dict(snapshot(bench.module)))
        if differences:
            where = f"trace {trace.id}, call {i}"
            count.add(trace.kind, 1, 0, explain(where, trace.calls[:i], call, differences))
            return
        count.add(trace.kind, 1, 1)
