"""Rejected in the commit message of v3 08/16: count first, add the pair afterwards."""

from __future__ import annotations

from tdxfuzz.host.design import EIO, ENOMEM, PageCache, RefcountLayer


class EarlyInc(RefcountLayer):
    """Get counts first and adds the pair afterwards. A get that counts from 1 to 2 can return
    before the get that counted from 0 to 1 has added the pair.
    """

    message_id = "20250918232224.2202592-1-rick.p.edgecombe@intel.com"

    def setup(self) -> None:
        self.pamt_lock = self.spinlock("pamt_lock")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_return() > 1:
            return 0

        pair = self.alloc_pair(cache)
        if pair is None:
            refcount.dec()
            return -ENOMEM

        with self.pamt_lock:
            status = self.pamt_add(pfn, pair)
        if status.ok:
            return 0
        refcount.dec()
        self.free_pair(pair)
        return -EIO

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
                return

        self.free_pair(pair)
