"""v2 (and v2.1), June 2025: moved to arch/x86; a failed REMOVE gets its reference back."""

from __future__ import annotations

from tdxfuzz.host.design import EIO, ENOMEM, PageCache, RefcountLayer


class V2(RefcountLayer):
    """Like ``rfc``, but a failed REMOVE restores the count. Pairs are still freed unscrubbed."""

    message_id = "20250609191340.2051741-1-kirill.shutemov@linux.intel.com"
    tolerates = frozenset({"HPA_RANGE_NOT_FREE"})

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
            if refcount.read() != 0:
                refcount.inc()
                unused = True
            else:
                status = self.pamt_add(pfn, pair)
                if not status.ok and status.name != "HPA_RANGE_NOT_FREE":
                    self.free_pair(pair, scrub=False)
                    return -EIO
                refcount.set(1)
                unused = not status.ok

        if unused:
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
            if pair is None:
                refcount.inc()
                return

        self.free_pair(pair, scrub=False)
