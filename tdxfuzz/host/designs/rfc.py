"""RFC, May 2025: refcounts in KVM; the last reference goes outside the lock."""

from __future__ import annotations

from tdxfuzz.host.design import EIO, ENOMEM, PageCache, RefcountLayer


class Rfc(RefcountLayer):
    """A refcount per 2MB range. The step from 1 to 0 is outside the lock, a failed REMOVE leaves
    the count at 0, and pairs are freed unscrubbed.
    """

    message_id = "20250502130828.4071412-1-kirill.shutemov@linux.intel.com"
    tolerates = frozenset({"HPA_RANGE_NOT_FREE"})

    def setup(self) -> None:
        self.pamt_lock = self.spinlock("pamt_lock")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.read() < 0:
            self.warn("negative refcount")
        if refcount.inc_not_zero():
            return 0

        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM

        with self.pamt_lock:
            if refcount.read() != 0:
                refcount.inc()
                status = None
            else:
                status = self.pamt_add(pfn, pair)
                if not status.ok:
                    self.free_pair(pair, scrub=False)
                    if status.name != "HPA_RANGE_NOT_FREE":
                        return -EIO
                refcount.set(1)

        if status is None:
            self.free_pair(pair, scrub=False)
        return 0

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        if not refcount.dec_and_test():
            return

        with self.pamt_lock:
            if refcount.read() != 0:
                return  # lost the race with get
            _, pair = self.pamt_remove(pfn)

        if pair is not None:
            self.free_pair(pair, scrub=False)
