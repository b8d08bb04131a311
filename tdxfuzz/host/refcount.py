"""The reference counts of 2MB ranges, which designs decide by and checks watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.host.kernel.atomic import AtomicT

if TYPE_CHECKING:
    from tdxfuzz.host.host import Host


class RangeRefcount(AtomicT):
    """The reference count of one 2MB range; whoever watches hears of every write."""

    __slots__ = ("_host", "range_pfn")

    def __init__(self, host: Host, range_pfn: int) -> None:
        name = f"refcount[{host.layout.name_of_range(range_pfn << 12)}]"
        super().__init__(host.sim, name, host.layer.initial_refcount)
        self._host = host
        self.range_pfn = range_pfn

    def _put(self, value: int) -> int:
        self.value = value
        self._host.watch.refcount_changed(self.range_pfn, value)
        return value
