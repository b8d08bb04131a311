"""pamt-in-use: a range keeps its pair for as long as a page holds the range."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import CODES
from tdxfuzz.check.base import Check
from tdxfuzz.check.in_flight import NO_RANGE
from tdxfuzz.host.design import PAMT_ADD, PAMT_REMOVE
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.abi import Registers, Status
    from tdxfuzz.case.operation import Op
    from tdxfuzz.check.finding import Finding
    from tdxfuzz.check.in_flight import InFlight
    from tdxfuzz.host.host import Host

MISSING = CODES["MISSING_PAMT_PAGE_PAIR"]


class PamtInUse(Check):
    """REMOVE succeeds for a range that is held, ``get`` succeeds for a range without a pair, or
    a leaf that uses a page of a held range answers MISSING_PAMT_PAGE_PAIR.
    """

    # Whom a page was got by is only told in a message.
    STATE: ClassVar = Declared(
        memory="_last_add _removed_by", tally="_holder_cpu", derived="_getting"
    )

    id = "pamt-in-use"
    source = "cover letter of v3, 20250918232224.2202592-1-rick.p.edgecombe@intel.com"
    witness = "a pair was removed while another CPU was in get or put for its range"

    def __init__(self, host: Host, in_flight: InFlight, findings: list[Finding]) -> None:
        super().__init__(host, in_flight, findings)
        self._holder_cpu: dict[int, int] = {}
        # By CPU, what its last ADD answered; and from its get for a range until it holds it, the
        # range, and the CPU that has removed the pair meanwhile.
        self._last_add: dict[int, Status] = {}
        self._getting: dict[int, int] = {}
        self._removed_by: dict[int, int] = {}

    def entered(self, what: str, pfn: int, holders: int, cached: bool) -> None:
        cpu = self.host.sim.current.id
        self._forget(cpu)
        if what in ("get", "demote"):
            self._getting[cpu] = pfn >> 9

    def get_failed(self, pfn: int, result: int) -> None:
        self._forget(self.host.sim.current.id)

    def op_ended(self, op: Op) -> None:
        self._forget(self.host.sim.current.id)

    def _forget(self, cpu: int) -> None:
        """Nothing of a get is of use any more."""
        self._getting.pop(cpu, None)
        self._removed_by.pop(cpu, None)

    def held(self, pfn: int, kind: str) -> None:
        cpu = self.host.sim.current.id
        self._holder_cpu[pfn] = cpu
        node = self.host.module.pamt.blocks[pfn >> 18].entry_2m(pfn << 12)
        if node.is_node:
            self._forget(cpu)
            return
        range_name = self.host.layout.name_of_range(pfn << 12)
        remover = self._removed_by.get(cpu)
        if remover is not None:
            self.report(
                f"CPU {remover} removed the pair of {range_name} while CPU {cpu} was "
                "getting hold of it",
                leaf=PAMT_REMOVE,
                status="SUCCESS",
                objects="range",
            )
        else:
            last = self._last_add.get(cpu)
            self.report(
                f"get returned 0 to CPU {cpu}, but {range_name} has no pair",
                leaf=PAMT_ADD,
                status="not called" if last is None else last.name,
                objects="range",
            )

    def pair_removed(self, range_hpa: int) -> None:
        sim = self.host.sim
        cpu = sim.current.id
        pfn = range_hpa >> 12
        for getting, index in self._getting.items():
            if index == pfn >> 9:
                self._removed_by[getting] = cpu
        others = self.in_flight.getting.copy()
        others[cpu] = NO_RANGE
        if pfn >> 9 in others:
            self.seen = True
        holders = self.host.holders.get(pfn >> 9)
        if holders is None or not holders.pages:
            return
        page, kind = next(iter(holders.pages.items()))
        holder = self._holder_cpu.get(page, cpu)
        by = "it" if holder == cpu else f"CPU {holder}"
        layout = self.host.layout
        self.report(
            f"CPU {cpu} removed the pair of {layout.name_of_range(range_hpa)} while {by} holds "
            f"it (for {kind} {layout.name_of_page(page << 12)})",
            leaf=PAMT_REMOVE,
            status="SUCCESS",
            objects="range",
        )

    def called(self, leaf: int, regs: Registers, status: Status) -> None:
        if leaf == PAMT_ADD:
            self._last_add[self.host.sim.current.id] = status
        if status >> 32 == MISSING and not self.host.layer.retries_missing:
            self.report(
                f"CPU {self.host.sim.current.id} holds the range of a page that has no PAMT",
                leaf=leaf,
                status=status.name,
                objects="range",
            )
