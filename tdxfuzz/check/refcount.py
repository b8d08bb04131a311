"""refcount: a range's reference count is never negative, and at rest counts its holders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.check.base import Check

if TYPE_CHECKING:
    from tdxfuzz.sim import Outcome


class Refcount(Check):
    """Looks at designs that keep reference counts; others have nothing to check."""

    id = "refcount"
    source = "v4 07/08: the count underflows once an error code is lost"
    witness = "two CPUs were in get or put for one range at once"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.host.gets_met

    def refcount_changed(self, range_pfn: int, value: int) -> None:
        if self.host.layer.holders_of(value) < 0:
            name = self.host.layout.name_of_range(range_pfn << 12)
            self.report(f"the reference count of {name} is {value}", objects="negative")

    def at_rest(self, outcome: Outcome) -> None:
        host = self.host
        if not host.refcounts:
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
