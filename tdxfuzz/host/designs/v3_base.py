"""v3 without its optimisation (07/16), September 2025: meant to be "dumb and correct"."""

from __future__ import annotations

from tdxfuzz.host.design import ENOMEM, PageCache, RefcountLayer
from tdxfuzz.host.designs.v3 import alloc_pair_leaking


class V3Base(RefcountLayer):
    """Counts change only under the lock, but get counts nothing if the range has its pair, and
    every put removes the pair.
    """

    message_id = "20250918232224.2202592-1-rick.p.edgecombe@intel.com"
    split_cache_per_vm = True

    def setup(self) -> None:
        self.pamt_lock = self.spinlock("pamt_lock")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        pair = alloc_pair_leaking(self, cache)
        if pair is None:
            return -ENOMEM

        with self.pamt_lock:
            if refcount.read():
                unused = True
            else:
                unused = not self.pamt_add(pfn, pair).ok
                if not unused:
                    refcount.inc()

        if unused:
            self.free_pair(pair)
        return 0

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        with self.pamt_lock:
            if not refcount.read():
                return
            _, pair = self.pamt_remove(pfn)
            if pair is not None:
                refcount.dec()

        if pair is not None:
            self.free_pair(pair)
