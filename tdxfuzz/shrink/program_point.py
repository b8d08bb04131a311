"""Points of a program that keep their meaning when the program around them changes.

A step number means nothing once an operation is gone. "CPU 1, in its second operation,
after 14 steps" still does.
"""

from __future__ import annotations

from attrs import frozen

from tdxfuzz.sim import Trace


@frozen
class ProgramPoint:
    """CPU ``cpu`` is in its ``op``-th operation (from 0) and has done ``steps`` of it."""

    cpu: int
    op: int
    steps: int


class ProgramPoints:
    """How far each CPU was at each point of a traced run."""

    def __init__(self, trace: Trace) -> None:
        self._step_of: dict[ProgramPoint, int] = {}
        self._performed: dict[ProgramPoint, int] = {}
        self.switches: list[tuple[ProgramPoint, int]] = []
        """Where the run changed CPU, and to which."""
        self.inside_call: set[int] = set()
        """Steps that are inside a SEAMCALL: preempting there cuts the call in two."""
        self._read(trace)

    def step_of(self, point: ProgramPoint) -> int | None:
        """The number of the step that a CPU does next at ``point``; None if it is never there."""
        return self._step_of.get(point)

    def point_of(self, step: int) -> ProgramPoint | None:
        """Where the CPU that performs a step is before it; None if the run did not get there."""
        return next((point for point, at in self._performed.items() if at == step), None)

    def performed(self, point: ProgramPoint) -> int | None:
        """The number of the step that a CPU performs at ``point``, when it is its turn."""
        return self._performed.get(point)

    def _read(self, trace: Trace) -> None:
        at: dict[int, ProgramPoint] = {}
        began: dict[int, int] = {}
        steps = 0
        for record in trace:
            here = at.get(record.cpu)
            if record.kind == "op":
                op = 0 if here is None else here.op + 1
                at[record.cpu] = ProgramPoint(record.cpu, op, 0)
                self._step_of.setdefault(at[record.cpu], record.step)
            elif record.kind == "step":
                steps += 1
                if here is not None:
                    self._performed[here] = record.step
                    at[record.cpu] = ProgramPoint(here.cpu, here.op, here.steps + 1)
                    self._step_of.setdefault(at[record.cpu], record.step + 1)
            elif record.kind == "switch":
                target = record.data[0]
                if here is not None and isinstance(target, int):
                    self.switches.append((here, target))
            elif record.kind == "call":
                began[record.cpu] = steps
            elif record.kind == "return" and record.cpu in began:
                self.inside_call.update(range(began.pop(record.cpu) + 1, steps))
