"""The back-pocket plan: SEAMCALLs run in parallel as readers, and again as writer after a BUSY."""

from __future__ import annotations

from collections.abc import Callable

from tdxfuzz.abi import Status
from tdxfuzz.host.design import EIO, ENOMEM, PageCache, Pair, RefcountLayer, Spinlock


class GlobalRwlock(RefcountLayer):
    """A global rwlock around ADD and REMOVE: taken for reading first, for writing after a BUSY.

    The mails say no more. Two gets of one range must still not both add, so here a lock per
    range covers its count; it comes before the rwlock.
    """

    message_id = "20250918232224.2202592-1-rick.p.edgecombe@intel.com"

    def setup(self) -> None:
        self.pamt_rwlock = self.rwlock("pamt_rwlock")

    def lock_of(self, pfn: int) -> Spinlock:
        """The lock of the count of ``pfn``'s range."""
        return self.spinlock(f"pamt_count_lock[{pfn >> 9:#x}]")

    def add(self, pfn: int, pair: Pair) -> Status:
        """PAMT.ADD as reader, and as writer if that was busy."""
        with self.pamt_rwlock.read():
            status = self.pamt_add(pfn, pair)
        if status.busy:
            with self.pamt_rwlock.write():
                status = self.pamt_add(pfn, pair)
        return status

    def remove(self, pfn: int) -> tuple[Status, Pair | None]:
        """PAMT.REMOVE likewise."""
        with self.pamt_rwlock.read():
            status, pair = self.pamt_remove(pfn)
        if status.busy:
            with self.pamt_rwlock.write():
                status, pair = self.pamt_remove(pfn)
        return status, pair

    def demote_with(self, pfn: int, pair: Pair, page_demote: Callable[[Pair], Status]) -> Status:
        """DEMOTE likewise."""
        with self.lock_of(pfn):
            with self.pamt_rwlock.read():
                status = page_demote(pair)
            if status.busy:
                with self.pamt_rwlock.write():
                    status = page_demote(pair)
            if status.ok:
                self.count_split(pfn)
        return status

    tolerates = frozenset({"OPERAND_BUSY"})
    kvm_repeats = frozenset({"OPERAND_BUSY"})

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_not_zero():
            return 0

        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM

        with self.lock_of(pfn):
            if refcount.read():
                refcount.inc()
                status = None
            else:
                status = self.add(pfn, pair)
                if status.ok:
                    refcount.set(1)
                    return 0
                self.warn(f"PAMT.ADD failed: {status}")

        self.free_pair(pair)
        return 0 if status is None else -EIO

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        if refcount.add_unless(-1, 1):
            return

        with self.lock_of(pfn):
            if not refcount.dec_and_test():
                return
            status, pair = self.remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                refcount.set(1)
                return

        self.free_pair(pair)
