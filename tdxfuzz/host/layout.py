"""Where things lie in simulated memory, and what people call them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from attrs import frozen

from tdxfuzz.abi.address import SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.case.names import TDMR_BASE, name_of_page, name_of_range
from tdxfuzz.case.operation import MAX_SLOTS
from tdxfuzz.case.world import World
from tdxfuzz.module.split import ALL_INDICES
from tdxfuzz.module.tdmr import TdmrInfo

PARAMS_HPA = 1 << 24
"""TD_PARAMS of every TD: shared memory outside the TDMR."""

_SLOTS_PER_TABLE = 2

FIRST_AREA_TABLE = MAX_SLOTS // _SLOTS_PER_TABLE
"""Areas lie behind all slots in a guest's addresses."""


@frozen
class Layout:
    """Addresses for the ranges, guest pages and GPAs of a world.

    Guest pages of different TDs lie side by side in one range, on both sides of its
    middle (the two PAMT pages of a pair each cover half a range).
    """

    world: World

    @property
    def tdmrs(self) -> tuple[TdmrInfo, ...]:
        """One TDMR of 1GB."""
        return (TdmrInfo(TDMR_BASE, SIZE_1G),)

    def range_pfn(self, index: int) -> int:
        """First page of the ``index``-th 2MB range."""
        return (TDMR_BASE + index * SIZE_2M) >> 12

    def guest_pfn(self, td: int, slot: int) -> int:
        """The physical page behind a TD's ``slot``-th guest page."""
        ranges = self.world.guest_ranges
        half = 256 if slot & 1 else 0
        return self.range_pfn(ranges[slot % len(ranges)]) + half + td * 16 + slot

    def gpa(self, slot: int) -> int:
        """Guest address of a slot: two slots to a lowest-level S-EPT page."""
        table, index = divmod(slot, _SLOTS_PER_TABLE)
        return table * SIZE_2M + index * SIZE_4K

    def slot_of(self, gpa: int) -> int:
        """The slot at a guest address."""
        return gpa // SIZE_2M * _SLOTS_PER_TABLE + gpa % SIZE_2M // SIZE_4K

    @property
    def split_indices(self) -> Sequence[int]:
        """The indices of the 4KB pages that a 2MB page is split into.

        Where a range has few entries, half of them lie on each side of its middle.
        """
        return _split_indices(self.world.entries)

    def area_pfn(self, td: int, area: int) -> int:
        """The first page of the 2MB range behind a TD's area."""
        return self.range_pfn(self.world.first_area + td * self.world.areas + area)

    def area_gpa(self, area: int) -> int:
        """Guest address of an area."""
        return (FIRST_AREA_TABLE + area) * SIZE_2M

    def area_of(self, gpa: int) -> int | None:
        """The area at a guest address, None if a slot is there."""
        area = gpa // SIZE_2M - FIRST_AREA_TABLE
        return area if area >= 0 else None

    def pfn_of(self, td: int, gpa: int) -> int:
        """The physical page behind a guest address."""
        area, offset = divmod(gpa - self.area_gpa(0), SIZE_2M)
        if area >= 0:
            return self.area_pfn(td, area) + offset // SIZE_4K
        return self.guest_pfn(td, self.slot_of(gpa))

    name_of_range = staticmethod(name_of_range)
    name_of_page = staticmethod(name_of_page)


@lru_cache(maxsize=16)
def _split_indices(entries: int) -> Sequence[int]:
    half = entries // 2
    return ALL_INDICES if entries == 512 else (*range(half), *range(256, 256 + half))
