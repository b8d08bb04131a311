"""atomic-sleep: nothing that may sleep is called under a spinning lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.check.base import Check, kind_of

if TYPE_CHECKING:
    from tdxfuzz.sim import Outcome


class AtomicSleep(Check):
    """An allocation with GFP_KERNEL, or a mutex, under a spinlock or rwlock.

    Where KVM calls ``get`` with its MMU lock held, it passes a cache to draw from. The
    bucket names what was called and the spinning lock taken last: the same mistake may be
    made with more locks around it.
    """

    id = "atomic-sleep"
    source = "might_sleep() in alloc_pages and mutex_lock; v6 08/11: caches for the MMU lock"
    witness = "get was called with the MMU lock held"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.host.gets_in_atomic

    def slept_in_atomic(self, what: str) -> None:
        cpu = self.host.sim.current.id
        lock = self.host.held_locks.of[cpu][-1].name
        self.report(
            f"CPU {cpu} calls {what}, which may sleep, with {lock} held",
            objects=f"{what.partition('(')[0]} under {kind_of(lock)}",
        )
