"""The memory that PAMT needs, in bytes: static, dynamic, and the pairs of running TDs.

Sizes of entries and the bitmap are the module's (:func:`required_pamt_size`); the reference counts
are Linux's: an ``atomic_t`` for each 2MB of physical address space.
"""

from __future__ import annotations

from attrs import field, frozen

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, LEVEL_4K, SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.host.kvm.vcpu import TDCX_PAGES
from tdxfuzz.host.kvm.vm import TDCS_PAGES
from tdxfuzz.host.refcount_table import Region, Sparse
from tdxfuzz.module.tdmr_config import required_pamt_size

ATOMIC_T = 4
PAIR = 2 * SIZE_4K
SEPT_ENTRIES = 512
LEVELS = (LEVEL_4K, LEVEL_2M, LEVEL_1G)


@frozen
class TdmrSize:
    """A range of memory that the module may use: address and size in bytes."""

    base: int
    size: int


@frozen
class Td:
    """A TD in use: all of its memory mapped, ``huge`` of it (0 to 1) at 2MB."""

    memory: int
    huge: float = 0.0
    vcpus: int = 1

    @property
    def ranges_4k(self) -> int:
        """2MB ranges of guest pages that are mapped at 4KB."""
        ranges = _up(self.memory, SIZE_2M) // SIZE_2M
        return ranges - round(ranges * self.huge)

    @property
    def kernel_pages(self) -> int:
        """Control pages and S-EPT pages: one for each 2MB mapped at 4KB, for each GB, and so on
        up to the root, which is among the control pages.
        """
        pages = 1 + TDCS_PAGES + self.vcpus * (1 + TDCX_PAGES) + self.ranges_4k
        covered = SIZE_1G
        while True:
            count = _up(self.memory, covered) // covered
            pages += count
            if count == 1:
                return pages
            covered *= SEPT_ENTRIES


@frozen
class Cost:
    """Bytes. ``refcounts_sparse`` is the table of v2 to v5, populated only where memory is."""

    ram: int
    static: dict[int, int]
    dynamic: dict[int, int]
    refcounts: int
    refcounts_sparse: int
    pairs: int = field(default=0)
    pairs_most: int = field(default=0)

    @property
    def static_total(self) -> int:
        """All of static PAMT."""
        return sum(self.static.values())

    @property
    def dynamic_total(self) -> int:
        """What dynamic PAMT takes before the first TD: bitmap, 2MB and 1GB levels, counts."""
        return sum(self.dynamic.values()) + self.refcounts

    def percent(self, amount: int) -> float:
        """Of the memory."""
        return 100 * amount / self.ram


def cost(
    ram: int, tdmrs: tuple[TdmrSize, ...] = (), max_pa: int = 0, tds: int = 0, td: Td | None = None
) -> Cost:
    """What a machine pays.

    Args:
        ram: bytes of memory.
        tdmrs: by default one from address 0 that covers it, in whole GB.
        max_pa: address bits up to which there are reference counts; 0: to the end of memory.
        tds: how many TDs run.
        td: what each of them is like.
    """
    tdmrs = tdmrs or (TdmrSize(0, _up(ram, SIZE_1G)),)
    end = 1 << max_pa if max_pa else max(tdmr.base + tdmr.size for tdmr in tdmrs)
    regions = [Region(tdmr.base >> 12, tdmr.base + tdmr.size >> 12) for tdmr in tdmrs]
    least = most = 0
    if td is not None:
        # Control and S-EPT pages lie side by side at best, each in a range of its own at worst.
        least = tds * (td.ranges_4k + _up(td.kernel_pages, 512) // 512)
        most = tds * (td.ranges_4k + td.kernel_pages)
    return Cost(
        ram=ram,
        static={level: _pamt(tdmrs, level, dynamic=False) for level in LEVELS},
        dynamic={level: _pamt(tdmrs, level, dynamic=True) for level in LEVELS},
        refcounts=_up(_counts(end)),
        refcounts_sparse=Sparse(regions).bytes(),
        pairs=least,
        pairs_most=most,
    )


def _pamt(tdmrs: tuple[TdmrSize, ...], level: int, dynamic: bool) -> int:
    """Each TDMR's region is a whole number of pages."""
    return sum(_up(required_pamt_size(tdmr.size, level, dynamic)) for tdmr in tdmrs)


def _counts(end: int) -> int:
    """Bytes of the counts for memory up to an address."""
    return _up(end, SIZE_2M) // SIZE_2M * ATOMIC_T


def _up(value: int, unit: int = SIZE_4K) -> int:
    return -(-value // unit) * unit
