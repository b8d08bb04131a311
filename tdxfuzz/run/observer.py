"""The key of a state: a digest of all that can influence how a run goes on.

It is made of all that shared state holds, what each CPU has observed, where each CPU stands, and
what checks remember of the way. Two states with equal keys go on in the same way, up to a collision
of 128-bit digests or of the 64-bit numbers that stand for a CPU's observations.
"""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from types import CodeType

from tdxfuzz.host.cells import RelaxPoint
from tdxfuzz.host.host import Host
from tdxfuzz.run.effects import learnt
from tdxfuzz.run.shared_state import SharedState
from tdxfuzz.sim import Cell, Cpu, LocalMemory, Softirq, State, WaitLock, Why

OURS = f"{Path(__file__).parents[1]}{os.sep}"
DESIGNS = f"{Path(__file__).parents[1] / 'host/designs'}{os.sep}"
"""The folders of functions that are ours, and of those among them that are designs."""


def digest(value: object) -> bytes:
    """128 bits of a nested tuple of numbers and strings, the same in every process."""
    # The stubs want one of marshal's own types; numbers, strings and tuples of them are some.
    return blake2b(marshal.dumps(value, 2), digest_size=16).digest()  # type: ignore[arg-type]


def digest_of(state: SharedState) -> bytes:
    """128 bits that stand for all shared state."""
    return digest(state.everything())


@lru_cache(maxsize=1 << 16)
def _number_of(name: str) -> int:
    """A number that stands for the name of a cell."""
    return int.from_bytes(digest(name)[:7])


def is_under_test(code: CodeType) -> bool:
    """Whether a function is a design's: its local variables count at a retry point."""
    return not code.co_filename.startswith(OURS) or code.co_filename.startswith(DESIGNS)


class Observer:
    """Keeps what the CPUs of one run observe, for a policy that tells it of every step.

    Args:
        host: about to run the programs.
        remembers: tells what the checks remember of the way.
    """

    def __init__(self, host: Host, remembers: Callable[[], tuple[object, ...]]) -> None:
        self._sim = host.sim
        self._remembers = remembers
        self.state = SharedState(host)
        self.local = host.sim.local = LocalMemory(len(host.sim.cpus), is_under_test)
        self._numbers: dict[int, tuple[Cell, int]] = {}
        self._waits_for: dict[int, Cell] = {}
        self._parked: dict[int, str] = {}

    def goes_on(self, cpu: Cpu) -> None:
        """A CPU runs: it does not stand any more where it stopped."""
        self._parked.pop(cpu.id, None)

    def performs(self, cpu: Cpu, cell: Cell, access: int) -> None:
        """A CPU performs a step next, and learns what it sees. That holds for pieces that no other
        CPU touches, too: what is there may come from something that is forgotten by now.
        """
        # At a retry point a CPU is to know what it knew when it entered the loop.
        if not isinstance(cell, RelaxPoint):
            told = learnt(cell, access, self.state)
            self.local.learn(cpu.id, (self._number(cell), access, told))

    def stops(self, cpu: Cpu, why: Why) -> None:
        """A CPU cannot go on, or is at a retry point."""
        if why is Why.BLOCK:
            assert isinstance(cpu.waiting_for, WaitLock)
            self._waits_for[cpu.id] = cpu.waiting_for
        elif why is Why.YIELD:
            self._parked[cpu.id] = "retry"

    def woken(self, cpu: Cpu, learns: bool = True) -> None:
        """A CPU was handed the lock that it waited for: it sees what the lock protects."""
        lock = self._waits_for.pop(cpu.id)
        self._parked[cpu.id] = "woken"
        if learns:
            self.local.learn(cpu.id, self.state.protected_by(lock))

    def key(self, current: int = -1) -> bytes:
        """The key of the state that the run is in.

        Args:
            current: the CPU that runs, where a preemption counts; else -1.
        """
        standing = tuple(
            (
                self.local.known[cpu.id],
                cpu.state.value,
                self._place(cpu),
                isinstance(cpu, Softirq) and cpu.active,
            )
            for cpu in self._sim.cpus
        )
        everything = self.state.everything(memory=True)
        return digest((standing, current, everything, self._remembers()))

    def _place(self, cpu: Cpu) -> str:
        """Where a CPU stands: what it waits for, or what it is about to do."""
        if cpu.waiting_for is not None:
            return cpu.waiting_for.name
        parked = self._parked.get(cpu.id)
        if parked is not None or not isinstance(cpu.next_cell, Cell) or cpu.state is State.DONE:
            return parked or ""
        return f"{cpu.next_cell.name} {cpu.next_access}"

    def _number(self, cell: Cell) -> int:
        known = self._numbers.get(id(cell))
        if known is None:
            # Holding the cell keeps its id from being given to another.
            known = self._numbers[id(cell)] = cell, _number_of(cell.name)
        return known[1]
