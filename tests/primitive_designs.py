"""Designs written with one primitive each, right and with a mistake that must be found."""

from __future__ import annotations

from tdxfuzz.host import design


class Counted(design.RefcountLayer):
    """A ``refcount_t`` for each range, under a lock where it comes from 0 and goes there."""

    def setup(self) -> None:
        self.pamt_lock = self.spinlock("pamt_lock")

    def count_of(self, pfn: int) -> design.RefcountT:
        return self.refcount_t(f"count[{pfn >> 9:#x}]")

    def get(self, pfn: int, cache: design.PageCache | None = None) -> int:
        count = self.count_of(pfn)
        if count.inc_not_zero():
            return 0
        pair = self.alloc_pair(cache)
        if pair is None:
            return -design.ENOMEM
        with self.pamt_lock:
            if count.inc_not_zero():
                ok = True
                used = False
            else:
                ok = used = self.pamt_add(pfn, pair).ok
                if ok:
                    self.first(count)
        if not used:
            self.free_pair(pair)
        return 0 if ok else -design.EIO

    def first(self, count: design.RefcountT) -> None:
        """The first reference of a range."""
        count.set(1)

    def put(self, pfn: int, hint: bool = False) -> None:
        with self.pamt_lock:
            if not self.count_of(pfn).dec_and_test():
                return
            pair = self.remove(pfn)
        if pair is not None:
            self.free_pair(pair)

    def remove(self, pfn: int) -> design.Pair | None:
        self.lockdep_assert_held(self.pamt_lock)
        status, pair = self.pamt_remove(pfn)
        if pair is None:
            self.warn(f"PAMT.REMOVE failed: {status}")
        return pair


class CountedFromZero(Counted):
    """The mistake: the first reference is added to none."""

    def first(self, count: design.RefcountT) -> None:
        count.inc()


class RemovedOutside(Counted):
    """The mistake: the pair is removed when the lock is free again."""

    def put(self, pfn: int, hint: bool = False) -> None:
        with self.pamt_lock:
            if not self.count_of(pfn).dec_and_test():
                return
        pair = self.remove(pfn)
        if pair is not None:
            self.free_pair(pair)


class Batched(design.RefcountLayer):
    """Empty ranges go to an llist. Each put takes the whole list, and removes what is empty yet."""

    declared_leaks = frozenset({"idle-pair"})

    def setup(self) -> None:
        self.pamt_lock = self.spinlock("pamt_lock")
        self.idle = self.llist("idle ranges")

    def has_pair(self, pfn: int) -> design.AtomicT:
        return self.atomic(f"has_pair[{pfn >> 9:#x}]")

    def queued(self, pfn: int) -> design.AtomicT:
        return self.atomic(f"queued[{pfn >> 9:#x}]")

    def get(self, pfn: int, cache: design.PageCache | None = None) -> int:
        refcount = self.refcount(pfn)
        if refcount.inc_not_zero():
            return 0
        pair = self.alloc_pair(cache)
        if pair is None:
            return -design.ENOMEM
        with self.pamt_lock:
            ok = used = False
            if self.has_pair(pfn).read():
                ok = True
            elif self.pamt_add(pfn, pair).ok:
                ok = used = True
                self.has_pair(pfn).set(1)
            if ok:
                refcount.inc()
        if not used:
            self.free_pair(pair)
        return 0 if ok else -design.EIO

    def put(self, pfn: int, hint: bool = False) -> None:
        if self.refcount(pfn).dec_and_test():
            self.queue(pfn)
        for number in self.idle.del_all():
            self.remove_if_idle(number << 9)

    def queue(self, pfn: int) -> None:
        if self.queued(pfn).xchg(1) == 0:
            self.idle.add(pfn >> 9)

    def remove_if_idle(self, pfn: int) -> None:
        with self.pamt_lock:
            self.queued(pfn).set(0)
            if not self.is_idle(pfn) or not self.has_pair(pfn).read():
                return
            self.has_pair(pfn).set(0)
            status, pair = self.pamt_remove(pfn)
            if pair is None:
                self.warn(f"PAMT.REMOVE failed: {status}")
                return
        self.free_pair(pair)

    def is_idle(self, pfn: int) -> bool:
        return self.refcount(pfn).read() == 0


class BatchedUnchecked(Batched):
    """The mistake: nobody looks whether the range is still empty."""

    def is_idle(self, pfn: int) -> bool:
        return True


class BatchedTwice(Batched):
    """The mistake: a range that is queued is queued again."""

    def queue(self, pfn: int) -> None:
        self.idle.add(pfn >> 9)
