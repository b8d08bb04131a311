"""A design to start from: one lock around every get and put.

    tdxfuzz hunt FILE       random programs in many orders, until something breaks
    tdxfuzz verify FILE     all orders of small programs: a verdict

Change it into yours. Then break it on purpose, and see what the trace shows: move
`refcount.dec_and_test()` out of the lock, for example.
"""

from tdxfuzz.host import design


class MyLayer(design.RefcountLayer):
    """One global spinlock."""  # the first line is what lists and reports show

    def setup(self) -> None:
        # All that CPUs share is made here: self.spinlock, self.mutex, self.atomic, ...
        self.pamt_lock = self.spinlock("pamt_lock")

    def get(self, pfn: int, cache: design.PageCache | None = None) -> int:
        """Before the module uses a page: the pair of its 2MB range must be there."""
        refcount = self.refcount(pfn)
        pair = self.alloc_pair(cache)  # before the lock, because the allocator may sleep
        if pair is None:
            return -design.ENOMEM
        with self.pamt_lock:
            if refcount.inc_not_zero():
                status = None
            else:
                status = self.pamt_add(pfn, pair)
                if status.ok:
                    refcount.set(1)
                    return 0
                self.warn(f"PAMT.ADD failed: {status}")  # a finding
        self.free_pair(pair)
        return 0 if status is None else -design.EIO

    def put(self, pfn: int, hint: bool = False) -> None:
        """After the module released the page: the last one takes the pair out."""
        refcount = self.refcount(pfn)
        with self.pamt_lock:
            if not refcount.dec_and_test():
                return
            status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                return
        self.free_pair(pair)

    def around_demote(self, pfn: int, pair: design.Pair) -> design.Spinlock:
        """What KVM holds while a 2MB page is split: DEMOTE adds a pair, too."""
        return self.pamt_lock
