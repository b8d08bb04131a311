"""One hold of a lock, and the context it is taken in."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tdxfuzz.sim import WaitLock


class Hold(Protocol):
    """A lock in the way in which it is held or wanted.

    An exclusive hold is the lock itself: then nothing has to be made when it is taken.
    """

    @property
    def lock(self) -> WaitLock:
        """The lock."""

    @property
    def exclusive(self) -> bool:
        """Whether nobody else may hold it."""

    @property
    def spins(self) -> bool:
        """Whether nothing may sleep under it."""

    @property
    def name(self) -> str:
        """The lock's name."""


class Context(Enum):
    """Where a spinning lock was taken, as far as interrupts are concerned."""

    SOFTIRQ = "softirq"
    IRQS_ON = "with interrupts on"
    IRQS_OFF = "with interrupts off"
