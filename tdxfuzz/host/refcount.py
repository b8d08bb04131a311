"""The reference counts of 2MB ranges, which designs decide by and checks watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.host.kernel.atomic import AtomicT
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.host.machine import Machine


class RangeRefcount(AtomicT):
    """The reference count of one 2MB range; whoever watches hears of every write."""

    __slots__ = ("_machine", "range_pfn")

    STATE: ClassVar = Declared(fixed="_machine range_pfn")

    def __init__(self, machine: Machine, range_pfn: int, value: int) -> None:
        name = f"refcount[{machine.layout.name_of_range(range_pfn << 12)}]"
        super().__init__(machine.sim, name, value)
        self._machine = machine
        self.range_pfn = range_pfn

    def _put(self, value: int) -> int:
        value = super()._put(value)
        self._machine.watch.refcount_changed(self.range_pfn, value)
        return value
