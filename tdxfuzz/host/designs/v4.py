"""v4, November 2025: the pair is allocated behind the fast path; the error code is still lost."""

from __future__ import annotations

from tdxfuzz.host.design import ENOMEM, PageCache, RefcountLayer


class V4(RefcountLayer):
    """Like ``v3``, but get allocates after the fast path, and sets the count (instead of raising
    it) if the pair was there already. If ADD fails, get still returns 0.
    """

    message_id = "20251121005125.417831-1-rick.p.edgecombe@intel.com"
    tolerates = frozenset({"HPA_RANGE_NOT_FREE"})
    split_cache_per_vm = True

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
                unused = True
            else:
                status = self.pamt_add(pfn, pair)
                unused = not status.ok
                if status.ok or status.name == "HPA_RANGE_NOT_FREE":
                    refcount.set(1)

        if unused:
            self.free_pair(pair)
        return 0

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        if not refcount.dec_and_test():
            return

        with self.pamt_lock:
            if refcount.read():
                return  # lost the race with get
            _, pair = self.pamt_remove(pfn)
            if pair is None:
                refcount.inc()
                return

        self.free_pair(pair)
