"""``struct ida``: small numbers handed out and taken back, each in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim import RMW, Declared, NamedCell

if TYPE_CHECKING:
    from tdxfuzz.sim import Simulator


class Ida(NamedCell):
    """Numbers from ``first`` to ``last``; the lowest free one goes first."""

    __slots__ = ("free_ids",)

    STATE: ClassVar = Declared(shared="free_ids")

    def __init__(self, sim: Simulator, name: str, first: int, last: int) -> None:
        super().__init__(sim, name)
        self.free_ids = list(range(first, last + 1))

    def alloc(self) -> int | None:
        """``ida_alloc_range``: a number, or None if all are taken."""
        self.sim.step(self, RMW)
        return self.free_ids.pop(0) if self.free_ids else None

    def free(self, number: int) -> None:
        """``ida_free``."""
        self.sim.step(self, RMW)
        self.free_ids.append(number)
        self.free_ids.sort()
