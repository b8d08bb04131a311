"""Where reference counts are kept: one counter for each 2MB of memory, in vmalloc space.

Up to v5 the table was sparse: a vmalloc area for all of physical memory, in which only those
pages were populated whose counters some memblock region needs (RFC to v5: ``get_vm_area`` and
``apply_to_page_range``). From v6 on it is flat: ``vzalloc`` of a counter for each range up to
``max_pfn``. A mistake of a revision is a :class:`Sparse` or :class:`Flat` with one method
otherwise; see ``tests/host/test_host_refcount_table.py``.

Sizes: PFNs count pages of 4KB; a counter is an ``atomic_t`` of 4 bytes, so that a page of the
table serves 1024 ranges, 2GB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import field, frozen

PAGES_PER_RANGE = 512
COUNTERS_PER_PAGE = 1024


@frozen(order=True)
class Region:
    """Memory from ``start`` up to but not including ``end``, PFNs: a memblock region."""

    start: int
    end: int = field()

    @end.validator
    def _not_empty(self, attribute: object, value: int) -> None:
        if not 0 <= self.start < value:
            raise ValueError(f"a region from {self.start} to {value} has no pages")


class TableFaultError(Exception):
    """A counter was looked up that is not there: the kernel would have taken a page fault."""


class Table:
    """A table of counters. Counters live only in pages of the table that are populated.

    ``size`` is how many counters its address space has room for. ``garbage`` is what a counter
    holds that nobody has written.
    """

    garbage = 0

    def __init__(self, regions: Sequence[Region], dynamic_pamt: bool = True) -> None:
        self.regions = tuple(sorted(regions))
        self.max_pfn = max(region.end for region in self.regions)
        self.size = self.room() if dynamic_pamt else 0
        self.pages: set[int] = set()
        self.counters: dict[int, int] = {}
        if dynamic_pamt:
            self.pages.update(self.populated())

    def room(self) -> int:
        """How many counters there is room for: DIV_ROUND_UP(max_pfn, 512)."""
        return -(-self.max_pfn // PAGES_PER_RANGE)

    def populated(self) -> Iterable[int]:
        """The pages of the table that get memory."""
        # Abstract: how the table is laid out is what its kinds differ in.
        raise NotImplementedError(f"{type(self).__name__} has no populated()")

    def pages_of_area(self) -> range:
        """The pages of the table's address space."""
        return range(-(-self.size // COUNTERS_PER_PAGE))

    def counter(self, pfn: int) -> int:
        """The counter of a page's range.

        Raises:
            TableFaultError: there is none.
        """
        index = pfn // PAGES_PER_RANGE
        if index >= self.size:
            raise TableFaultError(f"PFN {pfn:#x} is beyond the table's {self.size} counters")
        if index // COUNTERS_PER_PAGE not in self.pages:
            raise TableFaultError(f"PFN {pfn:#x} has its counter in a page that is not populated")
        return self.counters.get(index, self.garbage)

    def free(self) -> set[int]:
        """Take the table down; the pages that were populated and are not given back."""
        return self.pages - set(self.pages_of_area())

    def bytes(self) -> int:
        """Memory that the counters take, in bytes."""
        return len(self.pages) * COUNTERS_PER_PAGE * 4


class Flat(Table):
    """A counter for each range up to ``max_pfn``, holes included (v6 and merged)."""

    def populated(self) -> Iterable[int]:
        return self.pages_of_area()


class Sparse(Table):
    """Counters where there is memory (RFC to v5)."""

    def populated(self) -> Iterable[int]:
        for region in self.regions:
            first, last = self.counters_of(region)
            yield from range(first // COUNTERS_PER_PAGE, last // COUNTERS_PER_PAGE + 1)

    def counters_of(self, region: Region) -> tuple[int, int]:
        """The first and the last counter that a region needs."""
        return region.start // PAGES_PER_RANGE, (region.end - 1) // PAGES_PER_RANGE


def may_go_online(block: Region, at_boot: Iterable[Region]) -> bool:
    """``tdx_memory_notifier``: memory that TDX was not told of at boot stays offline, so that
    whatever the host can allocate has a counter.
    """
    return any(region.start <= block.start and block.end <= region.end for region in at_boot)
