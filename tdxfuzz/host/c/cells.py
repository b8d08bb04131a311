"""C memory as cells: what a step is on."""

from __future__ import annotations

from typing import ClassVar

from tdxfuzz.host.c.machine import machine
from tdxfuzz.host.machine import Machine
from tdxfuzz.host.refcount import RangeRefcount
from tdxfuzz.sim import Declared, NamedCell, Simulator


class MemoryCell(NamedCell):
    """Memory at an address. What an access tells its CPU is observed in C.

    ``piece`` names the shared state that it is part of: accesses of several sizes may meet there.
    Empty: nobody else is known to mind an access.
    """

    __slots__ = ("piece",)

    STATE: ClassVar = Declared(fixed="piece")

    def __init__(self, sim: Simulator, name: str, piece: str) -> None:
        super().__init__(sim, name)
        self.piece = piece


class CountInC(RangeRefcount):
    """The reference count of a range that lives in C; ``value`` follows it.

    Args:
        machine: as for any count.
        range_pfn: the first page of the range.
        address: of the ``atomic_t``.
    """

    __slots__ = ("_address",)

    STATE: ClassVar = Declared(fixed="_address")

    def __init__(self, host: Machine, range_pfn: int, address: int) -> None:
        super().__init__(host, range_pfn, machine().peek(address))
        self._address = address

    def _put(self, value: int) -> int:
        machine().poke(self._address, value)
        return self.was_put(value)

    def was_put(self, value: int) -> int:
        """C has written it."""
        return super()._put(value)
