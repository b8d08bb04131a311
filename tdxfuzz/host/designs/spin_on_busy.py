"""No lock around the SEAMCALLs but the range's own. After a BUSY the SEAMCALL is repeated."""

from __future__ import annotations

from tdxfuzz.host.design import EIO, ENOMEM, PageCache, Pair, RefcountLayer, Spinlock


class SpinOnBusy(RefcountLayer):
    """ADD and REMOVE are repeated while they are BUSY: "a very strange spinlock with a
    heavyweight inner loop". A lock per 2MB range covers its count.
    """

    message_id = "20250918232224.2202592-1-rick.p.edgecombe@intel.com"
    tolerates = frozenset({"OPERAND_BUSY"})
    kvm_repeats = frozenset({"OPERAND_BUSY"})

    def lock_of(self, pfn: int) -> Spinlock:
        """The lock of the count of ``pfn``'s range."""
        return self.spinlock(f"pamt_count_lock[{pfn >> 9:#x}]")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_not_zero():
            return 0

        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM

        with self.lock_of(pfn):
            if refcount.read():
                refcount.inc()
                status = None
            else:
                status = self.pamt_add(pfn, pair)
                while status.busy:
                    self.cpu_relax()
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

        with self.lock_of(pfn):
            if not refcount.dec_and_test():
                return
            status, pair = self.pamt_remove(pfn)
            while status.busy:
                self.cpu_relax()
                status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                refcount.set(1)
                return

        self.free_pair(pair)

    def around_demote(self, pfn: int, pair: Pair) -> Spinlock:
        return self.lock_of(pfn)
