"""A proposal in the review of the RFC: counts are biased by -1, so that one atomic decides."""

from __future__ import annotations

from tdxfuzz.host.design import EIO, ENOMEM, PageCache, RefcountLayer


class BiasMinusOne(RefcountLayer):
    """A count of -1 means no pair, 0 means a pair with one holder. Rejected, because a fast get
    can come in after put has read the count under the lock.
    """

    message_id = "20250502130828.4071412-1-kirill.shutemov@linux.intel.com"
    initial_refcount = -1

    def holders_of(self, refcount: int) -> int:
        return refcount + 1

    def setup(self) -> None:
        self.pamt_lock = self.spinlock("pamt_lock")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_unless_negative():
            return 0

        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM

        with self.pamt_lock:
            if refcount.inc_unless_negative():
                status = None
            else:
                status = self.pamt_add(pfn, pair)
                if status.ok:
                    refcount.set(0)
                    return 0

        self.free_pair(pair)
        return 0 if status is None else -EIO

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        if refcount.dec_if_positive() >= 0:
            return

        with self.pamt_lock:
            if refcount.read() != 0:
                refcount.dec()
                return
            status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                return
            refcount.set(-1)

        self.free_pair(pair)
