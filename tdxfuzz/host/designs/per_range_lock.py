"""The plan to drop the global lock: a lock per 2MB range, as fine as the module's own."""

from __future__ import annotations

from tdxfuzz.host.design import EIO, ENOMEM, PageCache, Pair, RefcountLayer, Spinlock


class PerRangeLock(RefcountLayer):
    """Like ``v6-base``, but with a spinlock for each range. The module also locks the ranges of
    the pair's pages, so two ADDs for different ranges can still clash.
    """

    message_id = "aNX6V6OSIwly1hu4@yzhao56-desk.sh.intel.com"

    def lock_of(self, pfn: int) -> Spinlock:
        """The lock of ``pfn``'s range."""
        return self.spinlock(f"pamt_lock[{pfn >> 9:#x}]")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM

        with self.lock_of(pfn):
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
        with self.lock_of(pfn):
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
        return self.lock_of(pfn)
