"""How much a run did: SEAMCALLs, and which CPUs used which 2MB range."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import find
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.run.result import Contention
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tdxfuzz.abi import Registers, Status
    from tdxfuzz.host.guest_mode import GuestMode
    from tdxfuzz.sim import Simulator


PAMT_LEAVES = tuple(find(f"TDH.PHYMEM.PAMT.{name}").number for name in ("ADD", "REMOVE"))

KICKED = "a vCPU was kicked out of the guest"
HOST_PRIORITY = "a guest gave way to the host (BUSY_HOST_PRIORITY)"
NOT_KICKED = "BUSY from a TD that was not kicked"
TDVPR = "BUSY from the range of a running vCPU's TDVPR"
RUNNING = (KICKED, HOST_PRIORITY, NOT_KICKED, TDVPR)
"""Situations that need a vCPU which runs, or a path that cannot fail."""


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
    (HPA >> 21). ``met`` has what happened of :data:`RUNNING`.
    """

    STATE: ClassVar = Declared(tally="_putting calls met visits", fixed="_guests _sim")

    def __init__(self, sim: Simulator, guests: Sequence[GuestMode] = ()) -> None:
        self._sim = sim
        self._guests = guests
        self._putting: set[int] = set()
        self.met: set[str] = set()
        self.calls: Counter[tuple[int, int]] = Counter()
        self.visits: dict[int, Visits] = {}

    def clear(self) -> None:
        """Count from the beginning."""
        self.calls.clear()
        self.met.clear()

    def called(self, leaf: int, regs: Registers, status: Status) -> None:
        self.calls[leaf, status >> 32] += 1
        if status.busy and leaf in PAMT_LEAVES:
            if self._sim.current.id in self._putting:
                self.met.add(NOT_KICKED)
            of_range = [mode.tdvpr for mode in self._guests if mode.tdvpr >> 21 == regs.rcx >> 21]
            if any(of_range):
                self.met.add(TDVPR)

    def path_busy(self, has_vcpu_inside: bool) -> None:
        if not has_vcpu_inside:
            self.met.add(NOT_KICKED)

    def kicked(self) -> None:
        self.met.add(KICKED)

    def guest_gave_way(self) -> None:
        self.met.add(HOST_PRIORITY)

    def entered(self, what: str, pfn: int, holders: int, cached: bool) -> None:
        sim = self._sim
        if what == "put":
            self._putting.add(sim.current.id)
        if not sim.running:
            return
        visits = self.visits.get(pfn >> 9)
        if visits is None:
            visits = self.visits[pfn >> 9] = Visits(holders)
        visits.cpus |= 1 << sim.current.id
        visits.puts += what in ("put", "promote")

    def left(self, what: str, pfn: int) -> None:
        if what == "put":
            self._putting.discard(self._sim.current.id)

    def contention(self) -> Contention:
        """How much the programs had to do with each other."""
        shared = [visits for visits in self.visits.values() if visits.cpus & (visits.cpus - 1)]
        if not shared:
            return Contention.NONE
        at_edge = any(visits.holders <= visits.puts for visits in shared)
        return Contention.EDGE if at_edge else Contention.SHARED
