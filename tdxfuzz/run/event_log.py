"""The module's events as records of a trace."""

from __future__ import annotations

from collections.abc import Callable

from tdxfuzz.sim import Simulator, Trace


def event_log(sim: Simulator, trace: Trace) -> Callable[[str, str, str, bool], None]:
    """What writes the event that a step was into ``trace``: operation, mode, resource, success."""

    def log(op: str, mode: str, resource: str, ok: bool) -> None:
        trace.add(sim.clock - 1, sim.current.id, "event", resource, op, mode, ok)

    return log
