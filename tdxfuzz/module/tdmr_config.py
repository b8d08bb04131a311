"""TDMR_INFO: how the host describes a TDMR to SYS.CONFIG, and what is checked of it.

Source: tdmr_info_entry_t in include/tdx_api_defs.h; tdh_sys_config.c, check by check in its
order. A check that fails tells which TDMR, and which reserved area or PAMT region of it,
in the bytes of the status' low half (api_error_with_multiple_info).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, LEVEL_4K, MAX_PA, SIZE_1G, SIZE_4K
from tdxfuzz.module.codes import (
    INVALID_PAMT,
    INVALID_RESERVED_IN_TDMR,
    INVALID_TDMR,
    NON_ORDERED_RESERVED_IN_TDMR,
    NON_ORDERED_TDMR,
    PAMT_OUTSIDE_CMRS,
    PAMT_OVERLAP,
    TDMR_OUTSIDE_CMRS,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.tdmr import TdmrInfo

if TYPE_CHECKING:
    from tdxfuzz.module.memory import Memory
    from tdxfuzz.module.platform import Platform

MAX_TDMRS = 64
MAX_RESERVED_AREAS = 16
MAX_CMRS = 32
PAMT_ENTRY_SIZE = 16
TDMR_INFO_ALIGNMENT = 512
MAX_DYNAMIC_PAMT_HKID_START_BIT = 48
"""HPAs that are longer do not fit into a PAMT_2M entry."""
_LAYOUT = struct.Struct(f"<8Q{2 * MAX_RESERVED_AREAS}Q")


@frozen
class Area:
    """A piece of physical memory, in bytes."""

    base: int
    size: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.base + self.size

    @property
    def wraps(self) -> bool:
        """It does not end within 64 bits (is_valid_integer_range)."""
        return bool(self.end >> 64)

    def is_aligned(self, alignment: int) -> bool:
        """Base and size are multiples of a power of two."""
        return not (self.base | self.size) & alignment - 1

    def overlaps(self, other: Area) -> bool:
        """Some byte is in both (is_overlap)."""
        return self.base < other.end and other.base < self.end


@frozen
class TdmrInfoEntry:
    """What one TDMR_INFO says. ``pamt`` is by level, from 4KB up; with dynamic PAMT the
    first region is the page bitmap. ``reserved`` are areas by offset, those of size 0 too.
    """

    tdmr: Area
    pamt: tuple[Area, Area, Area]
    reserved: tuple[Area, ...] = ()

    @classmethod
    def read(cls, memory: Memory, hpa: int) -> TdmrInfoEntry:
        """From host memory."""
        numbers = _LAYOUT.unpack(memory.read(hpa, _LAYOUT.size))
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        tdmr, pamt_1g, pamt_2m, pamt_4k, *reserved = (Area(base, size) for base, size in pairs)
        return cls(tdmr, (pamt_4k, pamt_2m, pamt_1g), tuple(reserved))

    @property
    def reserved_areas(self) -> Iterator[Area]:
        """Where its reserved areas lie; for one whose areas have been checked."""
        return (Area(self.tdmr.base + a.base, a.size) for a in self.reserved if a.size)

    @property
    def available_areas(self) -> Iterator[Area]:
        """What the reserved areas leave of it; for one whose areas have been checked."""
        start = self.tdmr.base
        for reserved in self.reserved_areas:
            if reserved.base > start:
                yield Area(start, reserved.base - start)
            start = reserved.end
        if start < self.tdmr.end:
            yield Area(start, self.tdmr.end - start)

    @property
    def as_configured(self) -> TdmrInfo:
        """The TDMR that SYS.CONFIG makes of it: nothing is initialised yet."""
        reserved = tuple((area.base, area.size) for area in self.reserved_areas)
        return TdmrInfo(self.tdmr.base, self.tdmr.size, reserved, initialized=0)


def check_tdmr(
    platform: Platform, dynamic: bool, new: TdmrInfoEntry, earlier: Sequence[TdmrInfoEntry]
) -> None:
    """check_and_set_tdmrs: all checks of one more TDMR.

    Raises:
        Refused: with the status of the first check that fails.
    """
    i = len(earlier)
    if new.tdmr.wraps:
        raise Refused(INVALID_TDMR | info_bytes(i))
    if earlier and new.tdmr.base < earlier[-1].tdmr.end:
        raise Refused(NON_ORDERED_TDMR | info_bytes(i))
    check_address_and_size(platform, new.tdmr, i)
    check_reserved_areas(new, i)
    check_pamt_regions(platform, dynamic, new, i)
    check_pamt_against_pamt(new, earlier)
    check_pamt_against_tdmrs(new, earlier)
    for level in (LEVEL_1G, LEVEL_2M, LEVEL_4K):
        if not is_in_cmr(platform, new.pamt[level]):
            raise Refused(PAMT_OUTSIDE_CMRS | info_bytes(i, level))
    for available in new.available_areas:
        if not is_in_cmr(platform, available):
            raise Refused(TDMR_OUTSIDE_CMRS | info_bytes(i))


def info_bytes(*info: int) -> int:
    """The low half of a status: up to four bytes, the first one lowest."""
    return int.from_bytes(info, "little")


def check_address_and_size(platform: Platform, tdmr: Area, i: int) -> None:
    """check_tdmr_area_addresses_and_size: whole gigabytes, at least one, addressable."""
    if not tdmr.is_aligned(SIZE_1G) or tdmr.size == 0 or not is_usable(platform, tdmr):
        raise Refused(INVALID_TDMR | info_bytes(i))


def check_reserved_areas(new: TdmrInfoEntry, i: int) -> None:
    """check_tdmr_reserved_areas: ascending, whole pages, within the TDMR; null ones last."""
    areas = (*new.reserved, Area(0, 0))
    for j, area in enumerate(new.reserved):
        if area.size == 0:
            if areas[j + 1].size:
                raise Refused(NON_ORDERED_RESERVED_IN_TDMR | info_bytes(i, j))
            continue
        if area.wraps:
            raise Refused(INVALID_RESERVED_IN_TDMR | info_bytes(i, j))
        if j > 0 and area.base < areas[j - 1].end:
            raise Refused(NON_ORDERED_RESERVED_IN_TDMR | info_bytes(i, j))
        if not area.is_aligned(SIZE_4K) or area.end > new.tdmr.size:
            raise Refused(INVALID_RESERVED_IN_TDMR | info_bytes(i, j))


def check_pamt_regions(platform: Platform, dynamic: bool, new: TdmrInfoEntry, i: int) -> None:
    """check_pamt_addresses: each region is aligned, addressable and large enough."""
    for level in (LEVEL_1G, LEVEL_2M, LEVEL_4K):
        region = new.pamt[level]
        if (
            not is_usable(platform, region)
            or not region.is_aligned(SIZE_4K)
            or region.size < required_pamt_size(new.tdmr.size, level, dynamic)
        ):
            raise Refused(INVALID_PAMT | info_bytes(i, level))


def required_pamt_size(tdmr_size: int, level: int, dynamic: bool) -> int:
    """Bytes that the PAMT of a level takes; with dynamic PAMT a bit per page at 4KB."""
    pages = tdmr_size // (SIZE_4K << 9 * level)
    return pages // 8 if dynamic and level == LEVEL_4K else pages * PAMT_ENTRY_SIZE


def check_pamt_against_pamt(new: TdmrInfoEntry, earlier: Sequence[TdmrInfoEntry]) -> None:
    """check_all_pamt_overlap: no region overlaps one of an earlier TDMR, or of its own."""
    i = len(earlier)
    for j, other in enumerate(earlier):
        for level, region in enumerate(new.pamt):
            if any(region.overlaps(theirs) for theirs in other.pamt):
                raise Refused(PAMT_OVERLAP | info_bytes(i, level, j))
    for level, region in enumerate(new.pamt):
        if any(region.overlaps(above) for above in new.pamt[level + 1 :]):
            raise Refused(PAMT_OVERLAP | info_bytes(i, level, i))


def check_pamt_against_tdmrs(new: TdmrInfoEntry, earlier: Sequence[TdmrInfoEntry]) -> None:
    """check_pamt_overlaps_available_areas: PAMT lies outside of TDMRs, or in reserved areas."""
    i = len(earlier)
    for j, other in enumerate((*earlier, new)):
        _check_outside(new, i, other, j)
        if j < i:
            _check_outside(other, j, new, i)


def _check_outside(owner: TdmrInfoEntry, i: int, tdmr: TdmrInfoEntry, j: int) -> None:
    """is_pamt_overlaps_available_area, for the regions of one TDMR and the memory of another."""
    for level, region in enumerate(owner.pamt):
        if any(region.overlaps(available) for available in tdmr.available_areas):
            raise Refused(PAMT_OVERLAP | info_bytes(i, level, j))


def is_usable(platform: Platform, area: Area) -> bool:
    """First and last address are below MAX_PA and without HKID bits; between, nobody looks."""
    ends = (area.base, area.end - 1)
    return not any(hpa >> MAX_PA or hpa & platform.key_bits.mask for hpa in ends)


def is_in_cmr(platform: Platform, area: Area) -> bool:
    """is_area_in_cmr: one CMR holds it, or several that follow each other without a gap."""
    start = end = 0
    for base, size in platform.cmrs:
        if size == 0:
            continue
        if base != end:
            start = base
        end = base + size
        if start <= area.base and area.end <= end:
            return True
    return False


def are_cmrs_valid(platform: Platform) -> bool:
    """check_cmrs: whole pages, addressable, ascending. Source: tdh_sys_init.c."""
    before = Area(0, 0)
    for cmr in (Area(base, size) for base, size in platform.cmrs if size):
        if not is_usable(platform, cmr) or not cmr.is_aligned(SIZE_4K) or cmr.base < before.end:
            return False
        before = cmr
    return True
