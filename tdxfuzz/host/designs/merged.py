"""What was merged to tip/x86/tdx in September 2026: every get and put under the lock."""

from __future__ import annotations

from tdxfuzz.host.design import EIO, ENOMEM, PageCache, Pair, RefcountLayer, Spinlock


class Merged(RefcountLayer):
    """A refcount per 2MB range, changed only under one global lock.

    Commits ad52ce8389d9 (helpers), 5386c5288001 (refcounts), eca9d4a3f1f8 (callers). The
    pair is allocated before the lock on every call and freed if it was not needed.
    """

    message_id = "20260526023515.288829-1-rick.p.edgecombe@intel.com"

    def setup(self) -> None:
        self.dpamt_lock = self.spinlock("dpamt_lock")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM

        result = 0
        with self.dpamt_lock:
            if not refcount.inc_not_zero():
                status = self.pamt_add(pfn, pair)
                if status.ok:
                    refcount.set(1)
                    return 0
                self.warn(f"PAMT.ADD failed: {status}")
                result = -EIO

        self.free_pair(pair)
        return result

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        with self.dpamt_lock:
            if refcount.read() > 1:
                refcount.dec()
                return
            status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                return
            refcount.set(0)

        self.free_pair(pair)

    def around_demote(self, pfn: int, pair: Pair) -> Spinlock:
        return self.dpamt_lock  # as in the reply to v5 30/45, 2026-06-11
