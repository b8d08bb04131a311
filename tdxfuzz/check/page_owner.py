"""page-owner: a page has one owner at a time, and its content is scrubbed between owners."""

from __future__ import annotations

from tdxfuzz.abi.address import hpa_of
from tdxfuzz.check.base import Check
from tdxfuzz.module.pamt import PT


class PageOwner(Check):
    """A page is freed twice, freed while the module uses it, freed before its put, used after
    its free, or freed as an unscrubbed PAMT page; or the module writes to a PAMT page that it
    has given back.
    """

    id = "page-owner"
    source = "tdx_free_control_page puts, then frees; unscrubbed pages: review of v2, 2025-06-27"
    witness = "the module gave back a pair"

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
        elif was == "PAMT page" and self.host.module.memory.is_dirty(pfn):
            self.report(
                f"PAMT page {self._name(pfn)} is freed unscrubbed",
                objects="unscrubbed PAMT page",
            )
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
