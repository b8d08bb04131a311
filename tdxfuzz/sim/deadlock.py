"""Deadlock: CPUs that wait for each other in a cycle."""

from __future__ import annotations

from collections.abc import Sequence

from tdxfuzz.sim.cpu import Blocker, Cpu
from tdxfuzz.sim.errors import StopRun, stop_from_elsewhere


class Deadlock(StopRun):
    """A cycle of CPUs that wait for each other, even if others could still run.

    ``waits`` lists, in the order of the cycle, each CPU, the lock it waits for and the
    CPU that stands in its way.
    """

    def __init__(self, waits: list[tuple[Cpu, Blocker, Cpu]]) -> None:
        super().__init__(", ".join(f"{c} waits for {lock.name} of {b}" for c, lock, b in waits))
        self.waits = waits

    def __reduce__(self) -> tuple[object, ...]:
        return stop_from_elsewhere, (Deadlock, str(self), {"waits": []})


def find_cycle(cpu: Cpu) -> list[tuple[Cpu, Blocker, Cpu]]:
    """The cycle of waiting that leads from ``cpu`` back to it; empty if there is none."""
    path: list[tuple[Cpu, Blocker, Cpu]] = []
    seen: set[int] = set()

    def visit(at: Cpu) -> bool:
        lock = at.waiting_for
        if lock is None or at.id in seen:
            return False
        seen.add(at.id)
        for blocker in lock.blockers(at):
            path.append((at, lock, blocker))
            # Who stands ahead in the same queue waits for nobody for whom ``at`` does not wait as
            # well. In a queue of hundreds of CPUs it would take long to ask each.
            if blocker is cpu or (blocker.waiting_for is not lock and visit(blocker)):
                return True
            path.pop()
        return False

    visit(cpu)
    return path


def hopeless(cpus: Sequence[Cpu]) -> Deadlock:
    """No CPU can go on: each blocked one with a CPU, done or stuck too, in its way."""
    return Deadlock(
        [
            (cpu, cpu.waiting_for, cpu.waiting_for.blockers(cpu)[0])
            for cpu in cpus
            if cpu.waiting_for is not None
        ]
    )
