"""What CPUs do at once: what is under way now, and whether two of a kind ever overlapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.host.watch import HostWatch
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.abi import Registers, Status
    from tdxfuzz.case.operation import Op
    from tdxfuzz.sim import Simulator

NO_RANGE = -1


class InFlight(HostWatch):
    """Operations, SEAMCALLs, and gets and puts that have begun and not ended.

    A get or put is any call of the design for a page: ``get``, ``put``, ``demote`` or
    ``promote``. Ranges are numbers of 2MB ranges (HPA >> 21).

    ``operations`` and ``calls`` count over all CPUs. ``getting`` is, for each CPU, the range
    that it is in get or put for, and ``began`` the step at which it entered; ``longest`` the
    most steps, of all CPUs, from there until it left. ``calls_met``, ``gets_met`` and
    ``adds_met`` say whether two SEAMCALLs overlapped, two gets or puts for one range, or a
    pair's coming and another CPU's get or put for its range. ``gets_in_atomic`` says whether
    a get came with a cache, because its caller holds a spinning lock; ``range_used`` whether a
    program, not only the set-up, got or put a range.
    """

    STATE: ClassVar = Declared(
        tally="adds_met began calls_met gets_in_atomic gets_met longest range_used",
        derived="calls getting operations",
        fixed="_sim",
    )

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self.operations = 0
        self.calls = 0
        self.getting = [NO_RANGE] * len(sim.cpus)
        self.began = [0] * len(sim.cpus)
        self.longest = 0
        self.calls_met = False
        self.gets_met = False
        self.adds_met = False
        self.gets_in_atomic = False
        self.range_used = False

    def op_began(self, op: Op) -> None:
        self.operations += 1

    def op_ended(self, op: Op) -> None:
        self.operations -= 1

    def calling(self, leaf: int, version: int, regs: Registers) -> None:
        self.calls += 1
        if self.calls > 1:
            self.calls_met = True

    def called(self, leaf: int, regs: Registers, status: Status) -> None:
        self.calls -= 1

    def entered(self, what: str, pfn: int, holders: int, cached: bool) -> None:
        sim, index = self._sim, pfn >> 9
        cpu = sim.current.id
        if index in self.getting:
            self.gets_met = True
        if cached:
            self.gets_in_atomic = True
        if sim.running:
            self.range_used = True
        self.getting[cpu] = index
        self.began[cpu] = sim.clock

    def left(self, what: str, pfn: int) -> None:
        sim = self._sim
        cpu = sim.current.id
        self.getting[cpu] = NO_RANGE
        if sim.running:
            self.longest = max(self.longest, sim.clock - self.began[cpu])

    def pair_added(self, range_hpa: int) -> None:
        if self.getting.count(range_hpa >> 21) > 1:
            self.adds_met = True
