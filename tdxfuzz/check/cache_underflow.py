"""cache-underflow: a cache that is topped up before a lock lasts until the lock is released."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.check.base import Check

if TYPE_CHECKING:
    from tdxfuzz.sim import Outcome


class CacheUnderflow(Check):
    """A CPU draws a page from a vCPU's cache under a spinning lock, but the cache is empty
    although memory is left: the top-up is too small for what one fault can need.

    The check says nothing once an allocation was refused, because a cache may be short then.
    A walk of a cache whose list head was never initialised is an underflow of another kind
    (v3, reported 2025-09-30).
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
            f"CPU {cpu} walks a vCPU's cache of {what}s, but its list head is NULL because the "
            "cache was never initialised",
            objects=f"{what} list",
        )
