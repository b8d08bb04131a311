"""v6 without its optimisation (05/11), May 2026: every get and put under the global lock."""

from __future__ import annotations

from tdxfuzz.host.design import EIO, ENOMEM, PageCache, Pair, RefcountLayer, Spinlock


class V6Base(RefcountLayer):
    """A refcount per 2MB range, changed only under the lock. A failed ADD or REMOVE warns."""

    message_id = "20260526023515.288829-1-rick.p.edgecombe@intel.com"

    def setup(self) -> None:
        self.pamt_lock = self.spinlock("pamt_lock")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM

        with self.pamt_lock:
            if refcount.read():
                refcount.inc()
                status = None
            else:
                status = self.pamt_add(pfn, pair)
                if status.ok:
                    refcount.set(1)
                    return 0
                self.warn(f"PAMT.ADD failed: {status}")

        self.free_pair(pair)
        return 0 if status is None else -EIO

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        with self.pamt_lock:
            if refcount.read() > 1:
                refcount.dec()
                return
            status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                return  # the count stays 1: the pair is leaked on purpose
            refcount.set(0)

        self.free_pair(pair)

    def around_demote(self, pfn: int, pair: Pair) -> Spinlock:
        return self.pamt_lock  # as in the reply to v5 30/45, 2026-06-11
