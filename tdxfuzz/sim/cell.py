"""Cells: shared state whose every access is one announced step."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from tdxfuzz.sim.access import READ, WRITE
from tdxfuzz.sim.declared import Declared

if TYPE_CHECKING:
    from tdxfuzz.sim.simulator import Simulator

T = TypeVar("T")


class Cell:
    """One piece of shared state.

    Subclasses announce each access with ``self.sim.step(self, access)`` and then act;
    nothing can happen between the announcement's return and the action.
    """

    __slots__ = ("sim",)

    STATE: ClassVar = Declared(fixed="sim")

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim

    @property
    def name(self) -> str:
        """A name that is the same in every run of the same case."""
        # Asked for only by traces and reports, so a toy cell may do without.
        raise NotImplementedError(f"{type(self).__name__} has no name")


class NamedCell(Cell):
    """A cell that is told its name."""

    __slots__ = ("_name",)

    STATE: ClassVar = Declared(fixed="_name")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim)
        self._name = name

    @property
    def name(self) -> str:
        return self._name


class Variable(NamedCell, Generic[T]):
    """A plain shared variable: loads and stores, each a step."""

    __slots__ = ("value",)

    STATE: ClassVar = Declared(shared="value")

    def __init__(self, sim: Simulator, name: str, value: T) -> None:
        super().__init__(sim, name)
        self.value = value

    def read(self) -> T:
        """Load: one step."""
        self.sim.step(self, READ)
        return self.value

    def write(self, value: T) -> None:
        """Store: one step."""
        self.sim.step(self, WRITE)
        self.value = value
