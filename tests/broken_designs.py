"""Designs with one mistake each: what a check must notice."""

from __future__ import annotations

from tdxfuzz.host.design import EIO, PageCache, RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.module.pamt import Pamt2M


def node_of(layer: RefcountLayer, pfn: int) -> Pamt2M:
    """The module's 2MB entry behind a page: designs must not, tests may."""
    return layer._host.module.pamt.blocks[pfn >> 18].entry_2m(pfn << 12)


class KeepsSpare(Merged):
    """Forgets the pair it did not need."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        if cache is None:
            self.alloc_pair()
        return super().get(pfn, cache)


class Dirty(Merged):
    """Gives pairs back as the module left them."""

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        with self.dpamt_lock:
            if not refcount.dec_and_test():
                return
            _, pair = self.pamt_remove(pfn)
        assert pair is not None
        self.free_pair(pair, scrub=False)


class FreesTwice(Merged):
    """Frees a pair, and then again."""

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        with self.dpamt_lock:
            if not refcount.dec_and_test():
                return
            _, pair = self.pamt_remove(pfn)
        assert pair is not None
        self.free_pair(pair)
        self.free_pair(pair)


class FreesInUse(Merged):
    """Frees a pair that was just added."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        if self.refcount(pfn).inc_not_zero():
            return 0
        pair = self.alloc_pair(cache)
        assert pair is not None
        self.refcount(pfn).set(1)
        self.pamt_add(pfn, pair)
        self.free_pair(pair)
        return 0


class NeverCountsDown(Merged):
    """Puts do nothing."""

    def put(self, pfn: int, hint: bool = False) -> None:
        """Nothing."""


class CountsTooLow(Merged):
    """Counts down below zero."""

    def put(self, pfn: int, hint: bool = False) -> None:
        super().put(pfn)
        if self.refcount(pfn).read() == 0:
            self.refcount(pfn).dec()


class Warns(Merged):
    """Complains without reason."""

    def put(self, pfn: int, hint: bool = False) -> None:
        self.warn("I do not like this")
        super().put(pfn)


class RemovesEarly(Merged):
    """Tries REMOVE on every put, whoever else holds the range."""

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount = self.refcount(pfn)
        with self.dpamt_lock:
            refcount.dec()
            _, pair = self.pamt_remove(pfn)
        if pair is not None:
            self.free_pair(pair)


class FailsForNoReason(Merged):
    """``get`` gives up though memory is there."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        return -EIO


class NoPair(Merged):
    """``get`` says yes and has done nothing."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        return 0


class MiscountsPages(Merged):
    """Damages the module's page count behind its back."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        result = super().get(pfn, cache)
        if self.refcount(pfn).value == 1:
            node_of(self, pfn).page_count.value += 1
        return result


class LosesBitmapBit(Merged):
    """Damages the bitmap of PAMT pages."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        result = super().get(pfn, cache)
        first = node_of(self, pfn).backing[0].hpa
        bitmap = self._host.module.pamt.blocks[first >> 30].tdmr.bitmap
        if bitmap.peek(first):
            bitmap.reset(first)
        return result


class HoldsModuleLock(Merged):
    """Leaves a lock of the module shared for ever."""

    def put(self, pfn: int, hint: bool = False) -> None:
        super().put(pfn)
        self._host.module.pamt.blocks[pfn >> 18].entry_1g.acquire_sh()


class LocksBothWays(Merged):
    """Takes two locks in one order in ``get`` and in the other in ``put``."""

    def setup(self) -> None:
        super().setup()
        self.a = self.spinlock("a0")
        self.b = self.spinlock("b0")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        with self.a, self.b:
            pass
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        with self.b, self.a:
            pass
        super().put(pfn)


class AllocatesUnderLock(Merged):
    """Asks the allocator for a pair with a spinlock held."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        with self.dpamt_lock:
            pair = self.alloc_pair(cache)
        assert pair is not None
        self.free_pair(pair)
        return super().get(pfn, cache)


class TopsUpTooLittle(Merged):
    """Fills a cache with one pair, though a fault may need five."""

    pamt_cache_pages = 2


class GoesRound(Merged):
    """Waits in ``get`` for another CPU that waits for it in the same way."""

    def setup(self) -> None:
        super().setup()
        self.inside = self.atomic("inside")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        self.inside.inc()
        while self.inside.read() > 1:
            self.cpu_relax()
        result = super().get(pfn, cache)
        self.inside.dec()
        return result
