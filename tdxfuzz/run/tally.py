"""How much a run did: SEAMCALLs, and which CPUs used which 2MB range."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.host.watch import HostWatch
from tdxfuzz.run.result import Contention
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.abi import Registers, Status
    from tdxfuzz.sim import Simulator


class Visits:
    """How the programs used a 2MB range.

    ``holders`` is how many pages held it before they did, ``cpus`` has a bit for each
    CPU that got or put it, ``puts`` counts the puts.
    """

    __slots__ = ("cpus", "holders", "puts")

    STATE: ClassVar = Declared(tally="cpus holders puts")

    def __init__(self, holders: int) -> None:
        self.holders = holders
        self.cpus = 0
        self.puts = 0


class Tally(HostWatch):
    """Counts SEAMCALLs by leaf number and status code, and the programs' visits to ranges.

    ``calls`` has the SEAMCALLs of the set-up too; ``visits`` is by the number of the range
    (HPA >> 21).
    """

    STATE: ClassVar = Declared(tally="calls visits", fixed="_sim")

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self.calls: Counter[tuple[int, int]] = Counter()
        self.visits: dict[int, Visits] = {}

    def called(self, leaf: int, regs: Registers, status: Status) -> None:
        self.calls[leaf, status >> 32] += 1

    def entered(self, what: str, pfn: int, holders: int, cached: bool) -> None:
        sim = self._sim
        if not sim.running:
            return
        visits = self.visits.get(pfn >> 9)
        if visits is None:
            visits = self.visits[pfn >> 9] = Visits(holders)
        visits.cpus |= 1 << sim.current.id
        visits.puts += what in ("put", "promote")

    def contention(self) -> Contention:
        """How much the programs had to do with each other."""
        shared = [visits for visits in self.visits.values() if visits.cpus & (visits.cpus - 1)]
        if not shared:
            return Contention.NONE
        at_edge = any(visits.holders <= visits.puts for visits in shared)
        return Contention.EDGE if at_edge else Contention.SHARED
