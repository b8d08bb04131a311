"""The module's locks mirrored: ADD under the write lock of its range and the read locks of
the ranges that its pair lies in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tdxfuzz.host.design import EIO, ENOMEM, PageCache, Pair, RefcountLayer, Rwlock


class PerRangeRwlock(RefcountLayer):
    """Get takes the write lock of its range, then the read locks of the ranges of its pair. Two
    ADDs whose pairs lie in each other's range wait for each other for ever.
    """

    message_id = "aNX6V6OSIwly1hu4@yzhao56-desk.sh.intel.com"

    def lock_of(self, pfn: int) -> Rwlock:
        """The lock of ``pfn``'s range."""
        return self.rwlock(f"pamt_rwlock[{pfn >> 9:#x}]")

    def order(self, pfn: int, pair: Pair) -> list[int]:
        """The ranges to lock, by number, in the order of locking."""
        return list(dict.fromkeys([pfn >> 9, *(page >> 9 for page in pair)]))

    @contextmanager
    def around_demote(self, pfn: int, pair: Pair) -> Iterator[None]:
        """Held around ADD as well: the write lock of its range, the read locks of the pair's."""
        with ExitStack() as locks:
            for index in self.order(pfn, pair):
                lock = self.lock_of(index << 9)
                locks.enter_context(lock.write() if index == pfn >> 9 else lock.read())
            yield

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_not_zero():
            return 0

        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM

        with self.around_demote(pfn, pair):
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

        with self.lock_of(pfn).write():
            if not refcount.dec_and_test():
                return
            status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                refcount.set(1)
                return

        self.free_pair(pair)
