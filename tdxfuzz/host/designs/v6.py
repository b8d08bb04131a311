"""v6 with its last patch (06/11): a fast path without the lock in get and put."""

from __future__ import annotations

from tdxfuzz.host.design import EIO, ENOMEM, PageCache, Pair, RefcountLayer, Spinlock


class V6(RefcountLayer):
    """A refcount per 2MB range. Only its steps between 0 and 1 take the global lock."""

    message_id = "20260526023515.288829-1-rick.p.edgecombe@intel.com"

    def setup(self) -> None:
        self.pamt_lock = self.spinlock("pamt_lock")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_not_zero():
            return 0

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
        if refcount.add_unless(-1, 1):
            return

        with self.pamt_lock:
            if not refcount.dec_and_test():
                return
            status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                refcount.set(1)
                return

        self.free_pair(pair)

    def around_demote(self, pfn: int, pair: Pair) -> Spinlock:
        return self.pamt_lock  # as in the reply to v5 30/45, 2026-06-11
