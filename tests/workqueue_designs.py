"""Designs that remove pairs from a workqueue: right ones, and each with a mistake to be found."""

from __future__ import annotations

from primitive_designs import Batched
from tdxfuzz.host import design


class Deferred(Batched):
    """Empty ranges go to an llist; an item of work takes the whole list, and removes what is still
    empty. At rest nothing is left.
    """

    declared_leaks = frozenset()
    kworkers = 1

    def setup(self) -> None:
        super().setup()
        self.removal = self.work("remove idle ranges", self.remove_idle)

    def put(self, pfn: int, hint: bool = False) -> None:
        if self.refcount(pfn).dec_and_test():
            self.queue(pfn)

    def queue(self, pfn: int) -> None:
        if self.queued(pfn).xchg(1) == 0:
            self.idle.add(pfn >> 9)
            self.removal.schedule()

    def remove_idle(self) -> None:
        for number in self.idle.del_all():
            self.remove_if_idle(number << 9)


class DeferredUnchecked(Deferred):
    """The mistake: the item does not look whether the range is still empty."""

    def is_idle(self, pfn: int) -> bool:
        return True


class ScheduledFirst(Deferred):
    """The mistake: the item is scheduled before there is anything in its list."""

    def queue(self, pfn: int) -> None:
        if self.queued(pfn).xchg(1) == 0:
            self.removal.schedule()
            self.idle.add(pfn >> 9)


class Flushed(Deferred):
    """A get whose range has no pair waits for the removals that are under way."""

    def topup(self) -> int:
        self.removal.flush()
        return 0


class FlushedInAtomic(Deferred):
    """The mistake: it waits where KVM holds its MMU lock."""

    def get(self, pfn: int, cache: design.PageCache | None = None) -> int:
        self.removal.flush()
        return super().get(pfn, cache)


class FlushedUnderItsMutex(Deferred):
    """The mistake: it waits for the item under a mutex that the item takes."""

    def setup(self) -> None:
        super().setup()
        self.batch = self.mutex("batch")

    def topup(self) -> int:
        with self.batch:
            self.removal.flush()
        return 0

    def remove_idle(self) -> None:
        with self.batch:
            super().remove_idle()


class TwoItems(Deferred):
    """One item takes ranges off the list, another one removes their pairs."""

    kworkers = 2

    def setup(self) -> None:
        super().setup()
        self.found = self.llist("found ranges")
        self.second = self.work("remove found ranges", self.remove_found)

    def remove_idle(self) -> None:
        for number in self.idle.del_all():
            self.found.add(number)
        self.second.schedule()

    def remove_found(self) -> None:
        for number in self.found.del_all():
            self.remove_if_idle(number << 9)


class Cancelled(Deferred):
    """A top-up cancels the removals, and does what they would have done."""

    def topup(self) -> int:
        self.removal.cancel_sync()
        self.remove_idle()
        return 0


class CancelledOnly(Deferred):
    """The mistake: a top-up cancels the removals, and nobody does them."""

    def topup(self) -> int:
        self.removal.cancel_sync()
        return 0


class TooFewWorkers(TwoItems):
    """It says that one item is enough."""

    kworkers = 1


class RemovedUnlocked(Deferred):
    """The mistake: the item looks at the count without the lock that get takes."""

    def remove_if_idle(self, pfn: int) -> None:
        self.queued(pfn).set(0)
        if not self.is_idle(pfn) or not self.has_pair(pfn).xchg(0):
            return
        status, pair = self.pamt_remove(pfn)
        if pair is None:
            self.warn(f"PAMT.REMOVE failed: {status}")
            return
        self.free_pair(pair)
