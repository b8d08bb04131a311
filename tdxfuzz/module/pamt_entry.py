"""PAMT entries: what is known of a page, and the pages that hold entries themselves.

With dynamic PAMT the 512 4KB entries of a 2MB range live in backing pages, two of them, that the
host adds and takes back. Source: src/common/memory_handlers/pamt_manager.h.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.lock import AtomicCount, HpLock
from tdxfuzz.module.memory import Page
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tdxfuzz.sim import Contents, Simulator


class PT(IntEnum):
    """What a page is used for."""

    NDA = 0
    RSVD = 1
    REG = 3
    TDR = 4
    TDCX = 5
    TDVPR = 6
    EPT = 8
    PAMT = 15


class PamtEntry(HpLock):
    """One PAMT entry: its lock, page type, owner and BEPOCH.

    ``owner`` is bits 63:24 of the first quadword: a leaf entry keeps its TDR's page
    number there, a non-leaf entry keeps its first PAMT page (see :class:`Pamt2M`).
    """

    __slots__ = ("bepoch", "hpa", "owner", "pt")

    STATE: ClassVar = Declared(shared="pt owner bepoch", derived="hpa")

    kind: ClassVar[str] = "PAMT_4K"

    def __init__(self, sim: Simulator, hpa: int, pt: int = PT.NDA, owner: int = 0) -> None:
        super().__init__(sim)
        self.hpa = hpa
        self.pt = pt
        self.owner = owner
        self.bepoch = 0

    @property
    def name(self) -> str:
        return f"{self.kind}[{self.hpa:#x}]"

    @property
    def owner_hpa(self) -> int:
        """The owner field read as a leaf's: the address of its TDR."""
        return self.owner << 12

    def in_key(self, read: Contents) -> tuple[object, ...]:
        return self.mode, int(self.pt), self.owner, self.bepoch

    def zero(self) -> None:
        """The bytes of the entry become zero."""
        self.word = self.pt = self.owner = self.bepoch = 0


class Pamt1G(PamtEntry):
    """A PAMT_1G entry."""

    __slots__ = ()

    kind: ClassVar[str] = "PAMT_1G"


class Pamt2M(PamtEntry):
    """A PAMT_2M entry; with PT = PAMT it is a node that holds its backing pages, two of them.

    A REMOVE only resets PT: ``owner`` keeps what it held, so that RDMD can show it.
    """

    __slots__ = ("backing", "page_count")

    STATE: ClassVar = Declared(shared="backing", parts="page_count", fixed="hpa")

    kind: ClassVar[str] = "PAMT_2M"

    def __init__(self, sim: Simulator, hpa: int) -> None:
        super().__init__(sim, hpa)
        self.page_count = AtomicCount(sim, f"PAGE_COUNT[{hpa:#x}]")
        self.backing: tuple[PamtPage, ...] = ()

    def set_node(self, pages: tuple[PamtPage, ...], page_count: int) -> None:
        """Make it a node. The host page number of the first page covers the owner field
        but for its low four bits (bits 63:28 of the quadword against 63:24).
        """
        self.pt = PT.PAMT
        self.backing = pages
        self.owner = pages[0].hpa >> 12 << 4 | self.owner & 0xF
        self.page_count.value = page_count

    def in_key(self, read: Contents) -> tuple[object, ...]:
        backing = [page.hpa for page in self.backing]
        return self.mode, int(self.pt), self.owner, self.bepoch, self.page_count.value, *backing

    @property
    def is_node(self) -> bool:
        """Has a PAMT page pair."""
        return self.pt == PT.PAMT


class PamtPage(Page):
    """A backing page: consecutive 4KB entries, made when they are first touched; ``size`` of
    them, which is half of a range's unless a variant says otherwise.

    Entries never touched are unlocked and have ``fill_pt`` and ``fill_owner``. An entry is
    a place in memory: it stays the same whatever the page serves next, so that a call which
    still holds a lock in a page that was given back meets what is there by then.
    """

    __slots__ = ("entries", "fill_owner", "fill_pt", "first", "sim", "size")

    STATE: ClassVar = Declared(shared="first fill_pt fill_owner", parts="entries", fixed="sim size")

    def __init__(self, sim: Simulator, hpa: int, size: int = 256) -> None:
        super().__init__(hpa)
        self.size = size
        self.sim = sim
        self.entries: dict[int, PamtEntry] = {}
        self.first = 0
        self.fill_pt: int = PT.NDA
        self.fill_owner = 0

    def in_key(self, read: Contents) -> object:
        """Its address: what it holds is a part of :class:`~tdxfuzz.module.pamt.Pamt`."""
        return self.hpa

    def table(self, read: Contents) -> tuple[object, ...]:
        """What it holds: an entry that is as the page was filled need not have been made yet."""
        pt, owner = self.fill_pt, self.fill_owner
        changed = [
            (index, entry.in_key(read))
            for index, entry in sorted(self.entries.items())
            if entry.word or entry.pt != pt or entry.owner != owner or entry.bepoch
        ]
        return self.owned, self.first, int(pt), owner, *changed

    def fill(self, first: int, pt: int, owner: int) -> None:
        """Write all entries (MOVDIR64B): for the pages from ``first`` on."""
        self.first = first
        self.fill_pt = pt
        self.fill_owner = owner
        for index, entry in self.entries.items():
            entry.zero()
            entry.hpa = first + index * SIZE_4K
            entry.pt = pt
            entry.owner = owner
        self.owned = True

    def entry(self, hpa: int) -> PamtEntry:
        """The entry of the page at ``hpa``."""
        index = hpa >> 12 & self.size - 1
        entry = self.entries.get(index)
        if entry is None:
            entry = PamtEntry(self.sim, self.first + index * SIZE_4K, self.fill_pt, self.fill_owner)
            self.entries[index] = entry
        return entry

    def peek(self, hpa: int) -> int:
        """The type of a page's entry. Not a step."""
        entry = self.entries.get(hpa >> 12 & self.size - 1)
        return self.fill_pt if entry is None else entry.pt

    def zero(self) -> None:
        for entry in self.entries.values():
            entry.zero()
        self.fill_pt, self.fill_owner = PT.NDA, 0

    def is_free(self) -> bool:
        """Whether every entry is NDA."""
        if self.fill_pt != PT.NDA and len(self.entries) < self.size:
            return False
        return all(entry.pt == PT.NDA for entry in self.entries.values())

    def in_use(self) -> Iterator[PamtEntry]:
        """The entries that are not NDA, by address. Not a step."""
        if self.fill_pt != PT.NDA and len(self.entries) < self.size:
            for index in range(self.size):
                self.entry(self.first + index * SIZE_4K)
        return (e for _, e in sorted(self.entries.items()) if e.pt != PT.NDA)
