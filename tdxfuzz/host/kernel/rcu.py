"""What waits for the end of an RCU grace period."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim import Declared, NamedCell

if TYPE_CHECKING:
    from tdxfuzz.sim import Simulator

Callback = tuple[int, str, bool]
"""A page to be freed, its kind, and the module's removal hint."""


class RcuQueue(NamedCell):
    """The callbacks of one CPU (``struct rcu_data``), the oldest first."""

    __slots__ = ("callbacks",)

    STATE: ClassVar = Declared(shared="callbacks")

    def __init__(self, sim: Simulator, cpu: int) -> None:
        super().__init__(sim, f"rcu{cpu}")
        self.callbacks: list[Callback] = []
