"""Cells of the harness itself: what it remembers, or marks, as part of the order of a run."""

from __future__ import annotations

from typing import ClassVar

from tdxfuzz.sim import Cell, Declared, NamedCell, Simulator


class Holders(NamedCell):
    """Who holds a 2MB range's pair, as the harness sees it: pages by PFN with their kind."""

    __slots__ = ("pages",)

    STATE: ClassVar = Declared(shared="pages")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.pages: dict[int, str] = {}


class RelaxPoint(Cell):
    """What a retry loop announces: that it goes round."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return "cpu_relax"


class CallEdges(Cell):
    """Where raw SEAMCALLs begin and end: that one returned before another began is part of
    what a check remembers, and so of the order.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        return "calls"
