"""Pairs come from dedicated 2MB blocks, so no pair lies in a range that is added to."""

from __future__ import annotations

from tdxfuzz.host.design import ENOMEM, PageCache, Pair
from tdxfuzz.host.designs.per_range_lock import PerRangeLock


class DedicatedPool(PerRangeLock):
    """A lock per 2MB range. Pairs come from 2MB blocks that are used for nothing else.

    If a block cannot be had, neither can a TD: get fails with -ENOMEM. Blocks are not given
    back. Asked for in the thread of v3 as a way to do without the global lock.
    """

    message_id = "aNX6V6OSIwly1hu4@yzhao56-desk.sh.intel.com"
    pamt_cache_pages = 0

    def setup(self) -> None:
        self.pool_lock = self.spinlock("pamt_pool_lock")
        self.pool = self.page_list("pamt_pool")

    def topup(self) -> int:
        with self.pool_lock:
            first = self.pool.pop()
            if first is not None:
                self.pool.push(first)
                return 0
        block = self.page_pool.alloc_block("PAMT page")
        if block is None:
            return -ENOMEM
        with self.pool_lock:
            self.pool.push(*range(block, block + 512))
        return 0

    def alloc_pair(self, cache: PageCache | None = None) -> Pair | None:
        if cache is None and self.topup():
            return None  # no cache: control pages, outside of the MMU lock
        with self.pool_lock:
            drawn = [self.pool.pop() for _ in range(self.pair_pages)]
        pair = tuple(page for page in drawn if page is not None)
        return pair if len(pair) == self.pair_pages else None

    def free_pair(self, pair: Pair, scrub: bool = True) -> None:
        for pfn in pair:
            self.page_pool.scrub(pfn)
        with self.pool_lock:
            self.pool.push(*pair)
