"""Virtual time: each CPU has a clock, and the CPU whose clock is behind all others goes on.

A step costs what its instruction costs. If another CPU had the cache line last, it costs a transfer
as well, and a line serves one CPU after the other: with many CPUs at one line each waits for those
before it. A lock is handed to the first in its queue. Steps within a SEAMCALL of the module share
what the call costs, so that its locks are held for as long.
"""

from __future__ import annotations

from heapq import heappop, heappush

from attrs import define, evolve

from tdxfuzz.host.cells import RelaxPoint
from tdxfuzz.host.refcount import RangeRefcount
from tdxfuzz.module.pamt import Pamt2M
from tdxfuzz.sim import Cpu, Simulator, WaitLock, Why
from tdxfuzz.sim.cpu import Named
from tdxfuzz.survey.contention.costs import Costs

COUNTS_IN_A_LINE = 16
"""Reference counts of 4 bytes that share a cache line of 64."""

PAMT_2M_IN_A_LINE = 4
"""Entries of the module for 2MB ranges, 16 bytes each."""


@define
class Counted:
    """What happened in virtual time; times are in ns, summed over CPUs."""

    lock_steps: int = 0
    contentions: int = 0
    wait_ns: float = 0.0
    longest_wait_ns: float = 0.0
    line_ns: float = 0.0

    @property
    def acquisitions(self) -> int:
        """Locks that were taken, and given up again."""
        return self.lock_steps // 2


class VirtualClocks:
    """A policy of the simulator that decides by the clocks. ``now`` has them, ``per_step`` what a
    step costs on each CPU just now, ``weight`` for how many alike each of its accesses stands,
    ``waited`` how long it has waited for locks. ``reached`` is the time up to which all CPUs have
    come: when the last step was made.

    Args:
        cpus: how many there are.
        costs: what things cost.
    """

    def __init__(self, cpus: int, costs: Costs) -> None:
        self.due = -1
        self.counted = Counted()
        self.step_ns = costs["step"].ns
        self.now = [0.0] * cpus
        self.waited = [0.0] * cpus
        self.reached = 0.0
        self.per_step = [self.step_ns] * cpus
        self.weight = [1] * cpus
        self._relax_ns = costs["relax"].ns
        self._transfer_ns = costs["transfer"].ns
        self._handover_ns = costs["handover"].ns
        self._ready: list[tuple[float, int]] = []
        self._waits = [False] * cpus
        self._blocked_at: dict[int, float] = {}
        self._owner: dict[object, int] = {}
        self._free_at: dict[object, float] = {}

    def preempt(self, sim: Simulator) -> Cpu | None:
        """The CPU that is behind; None if that is the current one, which pays for its step then.
        It must not pay before its turn: what it waits for is not known before.
        """
        cpu = sim.current
        number = cpu.id
        its_turn, self._waits[number] = self._waits[number], False
        if its_turn or not self._ready or self._ready[0] > (self.now[number], number):
            assert cpu.next_cell is not None
            self.reached = self.now[number]
            self._pay(number, cpu.next_cell)
            return None
        self._waits[number] = True
        heappush(self._ready, (self.now[number], number))
        return sim.cpus[heappop(self._ready)[1]]

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        """The CPU that is behind, the current one having stopped."""
        number = sim.current.id
        if why is Why.START:
            self._ready = [(0.0, cpu.id) for cpu in sim.cpus]
        elif why is Why.BLOCK:
            self._blocked_at[number] = self.now[number]
        elif why is Why.YIELD:
            self.now[number] += self._relax_ns
            heappush(self._ready, (self.now[number], number))
        return sim.cpus[heappop(self._ready)[1]] if self._ready else None

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        """A lock was handed over: its new holder goes on a moment later."""
        began = self._blocked_at.pop(cpu.id)
        self.now[cpu.id] = max(self.now[sim.current.id] + self._handover_ns, began)
        waited = self.now[cpu.id] - began
        counted = self.counted
        counted.contentions += 1
        counted.wait_ns += waited
        self.waited[cpu.id] += waited
        counted.longest_wait_ns = max(counted.longest_wait_ns, waited)
        heappush(self._ready, (self.now[cpu.id], cpu.id))

    def until_now(self) -> Counted:
        """What has happened in the time that all CPUs have reached; who waits has waited so far."""
        waiting = [max(self.reached - since, 0.0) for since in self._blocked_at.values()]
        return evolve(self.counted, wait_ns=self.counted.wait_ns + sum(waiting))

    def _pay(self, cpu: int, cell: Named) -> None:
        weight = self.weight[cpu]
        self.counted.lock_steps += isinstance(cell, WaitLock)
        line = _line_of(cell)
        if line is not None:
            if self._owner.get(line, cpu) != cpu:
                begin = max(self.now[cpu], self._free_at.get(line, 0.0))
                end = self._free_at[line] = begin + weight * self._transfer_ns
                self.counted.line_ns += end - self.now[cpu]
                self.now[cpu] = end
            self._owner[line] = cpu
        self.now[cpu] += weight * self.per_step[cpu]


def _line_of(cell: Named) -> object:
    """The cache line of a cell; None if it is a mark of the harness, not memory."""
    if isinstance(cell, RangeRefcount):
        return "counts", cell.range_pfn // 512 // COUNTS_IN_A_LINE
    if isinstance(cell, Pamt2M):
        return "PAMT_2M", (cell.hpa >> 21) // PAMT_2M_IN_A_LINE
    return None if isinstance(cell, RelaxPoint) else id(cell)
