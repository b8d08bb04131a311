"""data-race: plain accesses of a layer in C are ordered by locks or atomics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.check.base import Check, kind_of

if TYPE_CHECKING:
    from tdxfuzz.sim import Contents, Outcome


class DataRace(Check):
    """Two CPUs access the same memory of a layer in C, one of them writes, at least one access is
    plain, and no lock, atomic or fence orders them. READ_ONCE, WRITE_ONCE and atomics are not
    plain; data_race() says that it is meant.
    """

    id = "data-race"
    source = "the kernel's memory model, 'PLAIN ACCESSES AND DATA RACES'; KCSAN"
    witness = "two CPUs were in get or put for one range at the same time"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.in_flight.gets_met

    def in_key(self, read: Contents) -> object:
        """The order of accesses is what it remembers of the way here."""
        return self.host.layer.order_of_accesses() if read.memory else ()

    def raced(self, what: str, second: str, first: str) -> None:
        self.report(f"{what}: nothing orders the {first} and the {second}", objects=kind_of(what))
