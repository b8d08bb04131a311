"""page-owner: a page has one owner at a time, and its content is scrubbed between owners."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import Registers, Status, find
from tdxfuzz.abi.address import hpa_of
from tdxfuzz.check.base import Check
from tdxfuzz.module.codes import REMOVAL_HINT
from tdxfuzz.module.pamt import PT
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.case.operation import Op
    from tdxfuzz.check.finding import Finding
    from tdxfuzz.check.in_flight import InFlight
    from tdxfuzz.host.host import Host

PAGE_REMOVE = find("TDH.MEM.PAGE.REMOVE").number
PAGE_RECLAIM = find("TDH.PHYMEM.PAGE.RECLAIM").number
PAGE_WBINVD = find("TDH.PHYMEM.PAGE.WBINVD").number

NO_WBINVD = "PAGE.WBINVD since"
NO_RESET = "reset after PAGE.WBINVD"


class PageOwner(Check):
    """A page is freed twice, freed while the module uses it, freed before its put, used after its
    free, or freed unscrubbed; or the module writes to a PAMT page that it has given back; or a
    guest page or a TDR leaves the module, and the operation that took it out ends before WBINVD
    has written back what the caches have of it under the TD's key, and it was reset after that.

    What has left the module is known for each CPU on its own: until its operation has ended, nobody
    else can have the page.
    """

    STATE: ClassVar = Declared(memory="_keys _left", derived="_operands")

    id = "page-owner"
    source = "tdx_free_control_page puts, then frees; unscrubbed pages: review of v2, 2025-06-27"
    witness = "the module gave back a pair"

    def __init__(self, host: Host, in_flight: InFlight, findings: list[Finding]) -> None:
        super().__init__(host, in_flight, findings)
        contexts = len(host.sim.cpus)
        self._left: list[dict[int, str]] = [{} for _ in range(contexts)]
        self._keys: list[dict[int, int]] = [{} for _ in range(contexts)]
        self._operands = [(0, 0)] * contexts

    def calling(self, leaf: int, version: int, regs: Registers) -> None:
        cpu = self.host.sim.current.id
        self._operands[cpu] = regs.rcx, regs.rdx
        if leaf == PAGE_RECLAIM and self._use_by_module(regs.rcx >> 12) == PT.TDR.name:
            self._leaves(regs.rcx >> 12, self.host.module.platform.global_hkid)

    def called(self, leaf: int, regs: Registers, status: Status) -> None:
        cpu = self.host.sim.current.id
        left, keys = self._left[cpu], self._keys[cpu]
        rcx, rdx = self._operands[cpu]
        if leaf == PAGE_REMOVE and status.ok:
            first = (regs.rcx & ~REMOVAL_HINT) >> 12
            for i in self.host.layout.split_indices if rcx & 7 else (0,):
                self._leaves(first + i, self._hkid_of(rdx))
        elif leaf == PAGE_WBINVD and status.ok and left:
            bits = self.host.module.platform.key_bits
            pfn = bits.strip(rcx) >> 12
            if pfn in left and rcx == bits.assign(rcx, keys[pfn]):
                left[pfn] = NO_RESET

    def _leaves(self, pfn: int, hkid: int) -> None:
        """A page leaves the module; what the caches have of it was written under ``hkid``."""
        cpu = self.host.sim.current.id
        self._left[cpu][pfn], self._keys[cpu][pfn] = NO_WBINVD, hkid

    def _hkid_of(self, tdr: int) -> int:
        """The HKID of the TD with this TDR; 0 if no VM has it."""
        vms = (vm for vm in self.host.vms if vm.tdr_page is not None and vm.tdr == tdr)
        return next((vm.hkid for vm in vms), 0)

    def page_scrubbed(self, pfn: int) -> None:
        left = self._left[self.host.sim.current.id]
        if left.get(pfn) == NO_RESET:
            del left[pfn], self._keys[self.host.sim.current.id][pfn]

    def warned(self, who: str, message: str, leaf: int | None, status: Status | None) -> None:
        # Pages that a failing path leaks are given out to nobody.
        self._left[self.host.sim.current.id].clear()
        self._keys[self.host.sim.current.id].clear()

    def op_ended(self, op: Op) -> None:
        left = self._left[self.host.sim.current.id]
        if left and not op.is_seamcall:
            pfn, missing = next(iter(left.items()))
            self.report(
                f"{self._name(pfn)} has left the module and is given out dirty: no {missing}",
                objects="dirty page",
            )
        left.clear()
        self._keys[self.host.sim.current.id].clear()

    def page_freed(self, pfn: int, was: str | None) -> None:
        if was is None:
            self.report(
                f"{self._name(pfn)} is freed, but it is not allocated", objects="double free"
            )
            return
        use = self._use_by_module(pfn)
        holders = self.host.holders.get(pfn >> 9)
        if use:
            self.report(
                f"{was} {self._name(pfn)} is freed while the module uses it as {use}", objects=use
            )
        elif self.host.module.memory.is_dirty(pfn):
            self.report(f"{was} {self._name(pfn)} is freed unscrubbed", objects=f"unscrubbed {was}")
        elif holders is not None and pfn in holders.pages:
            self.report(
                f"{was} {self._name(pfn)} is freed before its put",
                objects="freed before put",
            )

    def pair_removed(self, range_hpa: int) -> None:
        self.seen = True

    def page_used(self, pfn: int, kind: str) -> None:
        if pfn not in self.host.pages.allocated:
            self.report(f"{self._name(pfn)} becomes a {kind}, but it is free memory", objects=kind)

    def touched(self, backing_page: int, entry: str) -> None:
        self.report(
            f"the module writes to {entry} in {self._name(backing_page >> 12)}, a PAMT page it "
            "has given back",
            objects="PAMT page",
        )

    def _name(self, pfn: int) -> str:
        return self.host.layout.name_of_page(hpa_of(pfn))

    def _use_by_module(self, pfn: int) -> str:
        """What the module uses a page for; "" if it does not use it. Not a step."""
        pamt = self.host.module.pamt
        hpa = hpa_of(pfn)
        block = pamt.blocks.get(hpa >> 30)
        if block is None:
            return ""
        if pamt.dynamic and block.tdmr.bitmap.peek(hpa):
            return "PAMT page"
        pt = pamt.type_of(hpa)
        return PT(pt).name if pt != PT.NDA else ""
