"""``seqcount_t``: readers that take no lock, and read again if somebody wrote meanwhile.

Source: include/linux/seqlock.h (v6.19). Writers exclude each other by a lock of their own, with
preemption off: else a reader on their CPU would wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.sim import READ, RMW, Declared, NamedCell

if TYPE_CHECKING:
    from tdxfuzz.host.machine import Machine


class Seqcount(NamedCell):
    """A count that is odd while somebody writes. What it protects is in cells of the design.

    Args:
        host: where a reader passes its retry points.
        name: for traces.
        warn: is told what a WARN says.
    """

    __slots__ = ("_host", "_warn", "sequence")

    STATE: ClassVar = Declared(shared="sequence", fixed="_host _warn")

    def __init__(self, host: Machine, name: str, warn: Callable[[str], None]) -> None:
        super().__init__(host.sim, name)
        self._host = host
        self._warn = warn
        self.sequence = 0

    def read_begin(self) -> int:
        """``read_seqcount_begin``: the sequence, once nobody writes. Each look is a step, and
        behind one in vain comes a retry point.
        """
        self.sim.step(self, READ)
        while self.sequence & 1:
            self._host.cpu_relax()
            self.sim.step(self, READ)
        return self.sequence

    def read_retry(self, start: int) -> bool:
        """``read_seqcount_retry``: whether somebody wrote since :meth:`read_begin` gave ``start``.
        One step, and a retry point if so.
        """
        self.sim.step(self, READ)
        if self.sequence == start:
            return False
        self._host.cpu_relax()
        return True

    @contextmanager
    def write(self) -> Iterator[None]:
        """``write_seqcount_begin`` and ``write_seqcount_end``: ``with seqcount.write():``."""
        if self._host.held_locks.may_be_preempted():
            self._warn(f"write_seqcount_begin({self.name}) with preemption on")
        self.sim.step(self, RMW)
        if self.sequence & 1:
            self._warn(f"{self.name} has two writers")
        self.sequence += 1
        yield
        self.sim.step(self, RMW)
        self.sequence += 1
