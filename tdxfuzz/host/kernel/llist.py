"""``struct llist_head``: a list without a lock, to which any CPU adds and which one takes whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.host.kernel.page import PageList
from tdxfuzz.sim import READ, RMW, Declared

if TYPE_CHECKING:
    from tdxfuzz.sim import Simulator


class Llist(PageList):
    """Numbers, such as those of ranges, for nodes of a list. Every operation is one step.

    A node can be in the list once. To add it again would make the list a circle, so that is a WARN.

    Args:
        sim: the simulator.
        name: for traces.
        warn: is told what a WARN says.
    """

    __slots__ = ("_warn",)

    STATE: ClassVar = Declared(fixed="_warn")

    def __init__(self, sim: Simulator, name: str, warn: Callable[[str], None]) -> None:
        super().__init__(sim, name)
        self._warn = warn

    def add(self, node: int) -> bool:
        """``llist_add``: whether the list was empty."""
        self.sim.step(self, RMW)
        if node in self.pages:
            self._warn(f"llist_add: {node:#x} is in {self.name} already")
            return False
        self.pages.append(node)
        return len(self.pages) == 1

    def del_all(self) -> tuple[int, ...]:
        """``llist_del_all``: all nodes, the one added last first; the list is empty then."""
        self.sim.step(self, RMW)
        nodes = tuple(reversed(self.pages))
        self.pages.clear()
        return nodes

    def empty(self) -> bool:
        """``llist_empty``."""
        self.sim.step(self, READ)
        return not self.pages
