"""cache-underflow: what is topped up before a lock lasts until the lock is released."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.check.base import Check

if TYPE_CHECKING:
    from tdxfuzz.sim import Outcome


class CacheUnderflow(Check):
    """A vCPU's cache is empty when a page is drawn from it, though memory is not out: the
    top-up is too small for the most pages that one fault can need.

    Says nothing once an allocation was refused: then caches may be short by right. Walking a
    cache whose list head nobody made is an underflow of another kind (v3, reported 2025-09-30).
    """

    id = "cache-underflow"
    source = "v6 08/11: a pair for each S-EPT level and the page; v5 first counted only one kind"
    witness = "a page was drawn from a cache"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.host.pages.drawn > 0

    def cache_dry(self, what: str) -> None:
        host = self.host
        if host.pages.refused or host.held_locks.may_sleep():
            return
        cpu = host.sim.current.id
        self.report(
            f"CPU {cpu} needs a {what} with {host.held_locks.of[cpu][-1].name} held, and its "
            "cache is empty",
            objects=what,
        )

    def cache_without_head(self, what: str) -> None:
        cpu = self.host.sim.current.id
        self.report(
            f"CPU {cpu} walks the cache of {what}s of a vCPU that was never initialised: its list "
            "head is NULL",
            objects=f"{what} list",
        )
