"""refcount: a range's reference count is never negative, and equals its holders at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import hpa_of
from tdxfuzz.check.base import Check
from tdxfuzz.module.pamt import PT

if TYPE_CHECKING:
    from tdxfuzz.sim import Outcome


class Refcount(Check):
    """The reference count of a range is negative, or differs from the number of its holders at
    rest. A design without counts is checked too: each ``get`` needs its ``put``.
    """

    id = "refcount"
    source = "v4 07/08: an error code lost, an underflow; v2 08/12: an error path without a put"
    witness = "two CPUs were in get or put for one range at the same time"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.in_flight.gets_met

    def refcount_changed(self, range_pfn: int, value: int) -> None:
        if self.host.layer.holders_of(value) < 0:
            name = self.host.layout.name_of_range(range_pfn << 12)
            self.report(f"the reference count of {name} is {value}", objects="negative")

    def at_rest(self, outcome: Outcome) -> None:
        host = self.host
        if self._reports_forgotten() or not host.refcounts:
            return
        for index in sorted(set(host.refcounts) | set(host.holders)):
            refcount = host.refcounts.get(index)
            value = 0 if refcount is None else refcount.value
            holders = len(host.holders[index].pages) if index in host.holders else 0
            if host.layer.holders_of(value) != holders:
                name = host.layout.name_of_range(index << 21)
                self.report(
                    f"the reference count of {name} is {value} at rest, with {holders} holders",
                    objects="too high" if host.layer.holders_of(value) > holders else "too low",
                )
                return

    def _reports_forgotten(self) -> bool:
        """Report a page that holds its range although the module does not use it: no path is
        left that could put it.
        """
        for holders in self.host.holders.values():
            for pfn, kind in holders.pages.items():
                if self.host.module.pamt.type_of(hpa_of(pfn)) == PT.NDA:
                    name = self.host.layout.name_of_page(hpa_of(pfn))
                    self.report(
                        f"{kind} {name} is not in use any more, but its reference was never put",
                        objects="forgotten",
                    )
                    return True
        return False
