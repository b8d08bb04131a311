"""What a 2MB page is split into: all 512 4KB pages, or a few so that searches stay small.

One of the two hooks of the PAMT; the other is ``variants.py``. Leaves read like the module's
source, and ask a hook where the source has a number that a what-if changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi.address import LEVEL_4K, SIZE_4K, index_in_2m
from tdxfuzz.module.pamt_entry import PT, PamtPage
from tdxfuzz.module.sept import SeptEntry, SeptPage
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.sim import Simulator

ALL_INDICES = range(512)


class Split:
    """The 4KB pages of a 2MB page, by their ``indices`` in it, ascending."""

    __slots__ = ("_whole", "indices")

    STATE: ClassVar = Declared(fixed="_whole indices")

    def __init__(self, indices: Sequence[int] = ALL_INDICES) -> None:
        self.indices = indices
        self._whole = len(indices) == len(ALL_INDICES)

    def pages_at(self, level: int) -> int:
        """How many 4KB pages a page of this level is, if it is split to the end."""
        return int(len(self.indices) ** level)

    def fill(self, page: PamtPage, first: int, pt: PT, owner: int) -> None:
        """Write the entries of a backing page: for the 4KB pages from ``first`` (HPA) on.

        Entries of pages that the range is not split into become NDA.
        """
        if self._whole or pt == PT.NDA:
            page.fill(first, pt, owner)
            return
        page.fill(first, PT.NDA, 0)
        start = index_in_2m(first)
        for i in self.indices:
            if start <= i < start + page.size:
                entry = page.entry(first + (i - start) * SIZE_4K)
                entry.pt, entry.owner = pt, owner

    def table(self, sim: Simulator, hpa: int, first: int, tdr: int, gpa: int) -> SeptPage:
        """An S-EPT page at ``hpa`` that maps a 2MB page 4KB by 4KB.

        Args:
            sim: the simulator.
            hpa: where the S-EPT page lies.
            first: the value of its first entry; the others point to the pages that follow.
            tdr: the TD, by the address of its TDR.
            gpa: where the guest sees the 2MB page.
        """
        if self._whole:
            return SeptPage(hpa, fill=first, stride=SIZE_4K)
        table = SeptPage(hpa)
        for i in self.indices:
            at = i * SIZE_4K
            table.entries[i] = SeptEntry(sim, first + at, tdr, gpa + at, LEVEL_4K)
        return table
