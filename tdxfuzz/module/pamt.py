"""PAMT: the metadata of every physical page, and the locked walk to it.

1GB and 2MB entries stand in static arrays. With dynamic PAMT the 4KB entries live in
backing pages (``pamt_entry.py``); without it they stand in a static array too.
Source: src/common/memory_handlers/pamt_manager.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, LEVEL_4K, SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.memory import Memory
from tdxfuzz.module.pamt_entry import PT, Pamt1G, Pamt2M, PamtEntry, PamtPage
from tdxfuzz.module.range_holds import RangeHolds
from tdxfuzz.module.split import ALL_INDICES, Split
from tdxfuzz.module.tdmr import Tdmr
from tdxfuzz.module.variants import DEFAULT, Variant
from tdxfuzz.sim import READ, Declared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tdxfuzz.sim import Contents, Simulator

__all__ = ["PT", "Block", "Pamt", "Pamt1G", "Pamt2M", "PamtEntry", "PamtPage", "Walk"]


_UNUSED = (0, int(PT.NDA), 0, 0)
"""The content of a 4KB entry of which nothing is known: it need not have been made yet."""


class Walk:
    """A walk that succeeded: the entries it holds, and the one it ended at."""

    __slots__ = ("entry", "entry_1g", "entry_2m", "entry_4k", "level", "mode", "ranges")

    def __init__(
        self,
        mode: str,
        level: int,
        entry_1g: PamtEntry,
        entry_2m: Pamt2M | None,
        entry_4k: PamtEntry | None,
    ) -> None:
        self.mode = mode
        self.level = level
        self.entry_1g = entry_1g
        self.entry_2m = entry_2m
        self.entry_4k = entry_4k
        self.entry: PamtEntry = entry_4k or entry_2m or entry_1g
        self.ranges: RangeHolds | None = None

    @property
    def node(self) -> Pamt2M:
        """The 2MB entry on the path."""
        assert self.entry_2m is not None
        return self.entry_2m

    def release(self) -> None:
        """pamt_unwalk: leaf first; only the leaf is held in ``mode``.

        Under a variant that locks whole ranges, ``ranges`` has the 2MB entry.
        """
        mode = self.mode
        for entry in (self.entry_4k, self.entry_2m, self.entry_1g):
            if entry is None:
                continue
            if self.ranges is not None and isinstance(entry, Pamt2M):
                self.ranges.release(entry)
            elif mode == EXCLUSIVE:
                entry.release_ex()
            else:
                entry.release_sh()
            mode = SHARED


class Block:
    """The PAMT of 1GB of a TDMR. 2MB entries are made when they are first touched."""

    __slots__ = ("base", "entries_2m", "entry_1g", "sim", "tdmr")

    STATE: ClassVar = Declared(parts="entry_1g entries_2m", fixed="base sim tdmr")

    def __init__(self, sim: Simulator, tdmr: Tdmr, base: int) -> None:
        self.sim = sim
        self.tdmr = tdmr
        self.base = base
        self.entry_1g = Pamt1G(sim, base)
        self.entries_2m: dict[int, Pamt2M] = {}

    def entry_2m(self, hpa: int) -> Pamt2M:
        """The PAMT_2M entry of the range that ``hpa`` lies in."""
        index = hpa >> 21
        entry = self.entries_2m.get(index)
        if entry is None:
            entry = self.entries_2m[index] = Pamt2M(self.sim, index << 21)
        return entry


class Pamt:
    """All PAMT of a platform.

    Args:
        sim: the simulator.
        memory: where backing pages lie.
        tdmrs: sorted by base.
        dynamic: dynamic PAMT, as enabled by TDH.SYS.CONFIG.
        variant: what is otherwise than in 1.5.25.
        split_indices: which 4KB pages a 2MB page is split into; all 512, or a few.

    ``variant`` and ``split`` are the hooks through which leaves learn what is otherwise.
    ``pages`` are all pages that ever were backing pages, by PFN.
    """

    __slots__ = (
        "_backs",
        "_range_holds",
        "_static",
        "blocks",
        "dynamic",
        "memory",
        "pages",
        "sim",
        "split",
        "tdmrs",
        "variant",
    )

    STATE: ClassVar = Declared(
        parts="blocks pages tdmrs _range_holds _static",
        fixed="_backs dynamic memory sim split variant",
    )

    def __init__(
        self,
        sim: Simulator,
        memory: Memory,
        tdmrs: Sequence[Tdmr],
        dynamic: bool,
        variant: Variant = DEFAULT,
        split_indices: Sequence[int] = ALL_INDICES,
    ) -> None:
        self.split = Split(split_indices)
        self._backs = SIZE_2M // variant.pair_pages
        self.variant = variant
        self._range_holds = RangeHolds(sim) if variant.ranges_exclusive else None
        self.sim = sim
        self.memory = memory
        self.tdmrs = tuple(tdmrs)
        self.dynamic = dynamic
        self.blocks = {
            base >> 30: Block(sim, tdmr, base)
            for tdmr in tdmrs
            for base in range(tdmr.base, tdmr.base + tdmr.size, SIZE_1G)
        }
        self.pages: dict[int, PamtPage] = {}
        self._static: dict[int, PamtEntry] = {}

    def in_key(self, read: Contents) -> tuple[object, ...]:
        return (
            read(self.blocks),
            read(self.tdmrs),
            [(pfn, page.table(read)) for pfn, page in sorted(self.pages.items())],
            [
                (pfn, own)
                for pfn, entry in sorted(self._static.items())
                if (own := entry.in_key(read)) != _UNUSED
            ],
        )

    def block_of(self, hpa: int) -> Block | None:
        """pamt_get_block: None if no TDMR covers ``hpa`` or its 1GB is not initialised."""
        block = self.blocks.get(hpa >> 30)
        if block is None or not block.tdmr.is_initialized(hpa):
            return None
        return block

    def walk(self, hpa: int, block: Block, mode: str, target: int = LEVEL_4K) -> Walk | None:
        """pamt_walk: 1GB shared, 2MB shared, and the leaf in ``mode``; None if busy.

        Ends at ``target``, or above it where there is nothing below; a leaf above 4KB
        that is wanted exclusive is taken shared and promoted.
        """
        entry_1g = block.entry_1g
        if not entry_1g.acquire_sh():
            return None
        if entry_1g.pt != PT.NDA or target == LEVEL_1G:
            if mode == EXCLUSIVE and not entry_1g.promote():
                entry_1g.release_sh()
                return None
            return Walk(mode, LEVEL_1G, entry_1g, None, None)

        entry_2m = block.entry_2m(hpa)
        if self._range_holds is not None:
            return self._walk_with_range(hpa, entry_1g, entry_2m, mode, target)
        if not entry_2m.acquire_sh():
            entry_1g.release_sh()
            return None
        has_4k = entry_2m.pt == (PT.PAMT if self.dynamic else PT.NDA)
        if not has_4k or target == LEVEL_2M:
            if mode == EXCLUSIVE and not entry_2m.promote():
                entry_2m.release_sh()
                entry_1g.release_sh()
                return None
            return Walk(mode, LEVEL_2M, entry_1g, entry_2m, None)

        entry_4k = self.entry_4k(hpa, entry_2m)
        if not (entry_4k.acquire_ex() if mode == EXCLUSIVE else entry_4k.acquire_sh()):
            entry_2m.release_sh()
            entry_1g.release_sh()
            return None
        return Walk(mode, LEVEL_4K, entry_1g, entry_2m, entry_4k)

    def walk_donor(self, hpa: int, block: Block) -> Walk | None:
        """The walk to a page that is to back a range: shared, unless a variant says otherwise."""
        return self.walk(hpa, block, self.variant.donor_mode)

    def _walk_with_range(
        self, hpa: int, entry_1g: PamtEntry, entry_2m: Pamt2M, mode: str, target: int
    ) -> Walk | None:
        """The rest of a walk under the variant that takes the 2MB range in the page's mode."""
        ranges = self._range_holds
        assert ranges is not None
        if not ranges.acquire(entry_2m, mode == EXCLUSIVE):
            entry_1g.release_sh()
            return None
        entry_4k = None
        if target != LEVEL_2M and entry_2m.pt == (PT.PAMT if self.dynamic else PT.NDA):
            entry_4k = self.entry_4k(hpa, entry_2m)
            if not (entry_4k.acquire_ex() if mode == EXCLUSIVE else entry_4k.acquire_sh()):
                ranges.release(entry_2m)
                entry_1g.release_sh()
                return None
        level = LEVEL_2M if entry_4k is None else LEVEL_4K
        walk = Walk(mode, level, entry_1g, entry_2m, entry_4k)
        walk.ranges = ranges
        return walk

    def entry_4k(self, hpa: int, entry_2m: Pamt2M) -> PamtEntry:
        """The 4KB entry of ``hpa``: in its range's backing page, or in the static array."""
        if self.dynamic:
            return self.backing_of(hpa, entry_2m).entry(hpa)
        entry = self._static.get(hpa >> 12)
        if entry is None:
            reserved = self.blocks[hpa >> 30].tdmr.is_reserved(hpa)
            entry = PamtEntry(self.sim, hpa & -SIZE_4K, PT.RSVD if reserved else PT.NDA)
            self._static[hpa >> 12] = entry
        return entry

    def entries_4k(self, node: Pamt2M) -> Iterator[PamtEntry]:
        """The 4KB entries of the pages that a 2MB page is split into, by address."""
        return (self.entry_4k(node.hpa + i * SIZE_4K, node) for i in self.split.indices)

    def implicit(self, hpa: int, level: int) -> tuple[PamtEntry, Pamt2M]:
        """pamt_implicit_get: the entry of a page known to be in use, with no lock taken.

        Nothing but the caller's hold on whatever maps the page keeps the entry in use,
        so looking at its type is a step.

        Raises:
            ModuleFatal: 109, 336, 339 or 340 if the page turns out not to be in use.
        """
        block = self.block_of(hpa)
        if block is None:
            raise ModuleFatal(109, f"no PAMT for page {hpa:#x}, which is in use")
        entry_2m = block.entry_2m(hpa)
        entry: PamtEntry = entry_2m
        if level == LEVEL_4K:
            if self.dynamic and entry_2m.pt != PT.PAMT:
                raise ModuleFatal(336, f"page {hpa:#x} is in use in a range without PAMT pages")
            entry = self.entry_4k(hpa, entry_2m)
        elif level == LEVEL_1G:
            entry = block.entry_1g
        self.sim.step(entry, READ)
        if entry.pt in (PT.NDA, PT.RSVD):
            raise ModuleFatal(339, f"{entry.name} is free, but the page is mapped")
        if entry.pt == PT.PAMT:
            raise ModuleFatal(340, f"{entry.name} is a node, but the page is mapped")
        return entry, entry_2m

    def count_up(self, walk: Walk) -> None:
        """pamt_inc_nl_page_count: one more page of the walk's range is in use."""
        node = walk.entry_2m
        if not self.dynamic or node is None or node.pt != PT.PAMT:
            return
        if node.page_count.xadd(1) == 512:
            raise ModuleFatal(351, f"more than 512 pages in use in {node.name}")

    def count_down(self, node: Pamt2M | None) -> bool:
        """pamt_dec_nl_page_count: one page less; whether it was the last (the hint)."""
        if not self.dynamic or node is None or node.pt != PT.PAMT:
            return False
        before = node.page_count.xadd(-1)
        if before == 0:
            raise ModuleFatal(170, f"page count of {node.name} below zero")
        return before == 1

    def backing_page(self, hpa: int) -> PamtPage:
        """The page at ``hpa`` as a backing page, whatever it held before."""
        page = self.pages.get(hpa >> 12)
        if page is None:
            page = self.pages[hpa >> 12] = PamtPage(self.sim, hpa, self._backs // SIZE_4K)
        self.memory.put(page)
        return page

    def is_2m_range_free(self, hpa: int, block: Block) -> bool:
        """pamt_is_2mb_range_free: nothing below a 2MB entry that is not in use.

        With dynamic PAMT the eight bitmap quadwords must be clear. Only clearing can
        race with the scan (the caller holds the 2MB entry), so it is one step.
        """
        if self.dynamic:
            return block.tdmr.bitmap.is_2m_clear(hpa)
        self.sim.step(block.entry_2m(hpa), READ)
        return all(
            self.entry_4k(page, block.entry_2m(hpa)).pt == PT.NDA
            for page in range(hpa, hpa + SIZE_2M, SIZE_4K)
        )

    def type_of(self, hpa: int) -> int:
        """What a page is in use as, by its 4KB entry; NDA if it has none. Not a step."""
        block = self.blocks.get(hpa >> 30)
        if block is None:
            return PT.NDA
        if not self.dynamic:
            return self.entry_4k(hpa, block.entry_2m(hpa)).pt
        node = block.entry_2m(hpa)
        return self.backing_of(hpa, node).peek(hpa) if node.is_node else PT.NDA

    def is_taken(self, hpa: int) -> bool:
        """Whether the module uses a page, or a call is about to take it. Not a step."""
        block = self.blocks.get(hpa >> 30)
        if block is None:
            return False
        node = block.entry_2m(hpa)
        if node.pt == PT.REG or (self.dynamic and block.tdmr.bitmap.peek(hpa)):
            return True
        if self.dynamic and not node.is_node:
            return False
        entry = self.entry_4k(hpa, node)
        return entry.pt not in (PT.NDA, PT.RSVD) or entry.is_held

    def backing_of(self, hpa: int, node: Pamt2M) -> PamtPage:
        """The page of a range's pair that holds the entry of ``hpa``."""
        return node.backing[hpa % SIZE_2M // self._backs]

    def nodes(self) -> Iterator[Pamt2M]:
        """All 2MB entries that were ever touched, by address. Not a step."""
        for block in self.blocks.values():
            yield from (entry for _, entry in sorted(block.entries_2m.items()))

    def static_entries(self) -> Iterator[PamtEntry]:
        """The static 4KB entries that were ever touched, by address. Not a step."""
        return (entry for _, entry in sorted(self._static.items()))
