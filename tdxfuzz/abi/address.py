"""Addresses: host physical (HPA, bytes), page frames (PFN, 4KB pages), HKID bits."""

from __future__ import annotations

from attrs import field, frozen

SIZE_4K = 1 << 12
SIZE_2M = 1 << 21
SIZE_1G = 1 << 30
MAX_PA = 52
"""The module compares addresses with this constant, not with the platform's MAXPA."""

LEVEL_4K, LEVEL_2M, LEVEL_1G = 0, 1, 2


def pfn_of(hpa: int) -> int:
    """The 4KB page an address lies in."""
    return hpa >> 12


def hpa_of(pfn: int) -> int:
    """The first address of a 4KB page."""
    return pfn << 12


def index_in_2m(hpa: int) -> int:
    """Which of its range's 512 pages an address lies in."""
    return hpa >> 12 & 511


@frozen
class KeyIdBits:
    """Where a platform keeps the HKID in a physical address.

    The recordings' machine has MAXPA 46 and six HKID bits, 45:40.
    """

    start: int = 40
    width: int = 6
    mask: int = field(init=False, repr=False, eq=False)
    """The HKID bits of an address."""

    @mask.default
    def _mask(self) -> int:
        return ((1 << self.width) - 1) << self.start

    def hkid_of(self, pa: int) -> int:
        """The HKID in an address."""
        return (pa & self.mask) >> self.start

    def strip(self, pa: int) -> int:
        """The address without its HKID."""
        return pa & ~self.mask

    def assign(self, pa: int, hkid: int) -> int:
        """The address with this HKID in place of its own."""
        return (pa & ~self.mask) | hkid << self.start
