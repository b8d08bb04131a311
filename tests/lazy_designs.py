"""Designs that remove pairs late, each with a mistake that shows only after a history.

All of it happens under one lock, so that one CPU is enough.
"""

from __future__ import annotations

from tdxfuzz.host.design import EIO, ENOMEM, AtomicT, PageCache, Pair, RefcountLayer, Spinlock


class Late(RefcountLayer):
    """The pair of a range stays for a while when its last page has gone. Sound, as it stands here:
    pairs stay for ever.
    """

    declared_leaks = frozenset({"idle-pair"})
    lock: Spinlock

    def setup(self) -> None:
        self.lock = self.spinlock("pamt_lock")

    def present(self, pfn: int) -> AtomicT:
        """1 if the range's pair is in."""
        return self.atomic(f"present{pfn >> 9}")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        pair = self.alloc_pair(cache)
        if pair is None:
            return -ENOMEM
        with self.lock:
            late = self.before_get(pfn)
            result, used = self.count_up(pfn, pair)
        for other in late:
            self.free_pair(other)
        if not used:
            self.free_pair(pair)
        return result

    def count_up(self, pfn: int, pair: Pair) -> tuple[int, bool]:
        """The result of get, and whether the pair went in."""
        refcount, present = self.refcount(pfn), self.present(pfn)
        if present.read():
            refcount.inc()
            return 0, False
        if not self.pamt_add(pfn, pair).ok:
            return -EIO, False
        present.set(1)
        refcount.inc()
        return 0, True

    def put(self, pfn: int, hint: bool = False) -> None:
        with self.lock:
            late = self.emptied(pfn) if self.refcount(pfn).dec_and_test() else []
        for pair in late:
            self.free_pair(pair)

    def before_get(self, pfn: int) -> list[Pair]:
        """Under the lock, before a get: pairs to be freed."""
        return []

    def emptied(self, pfn: int) -> list[Pair]:
        """Under the lock, when a range has become empty: pairs to be freed."""
        return []

    def remove(self, pfn: int) -> list[Pair]:
        """Take a range's pair out, if it is in."""
        if not self.present(pfn).read():
            return []
        status, pair = self.pamt_remove(pfn)
        if pair is None:
            self.warn(f"PAMT.REMOVE failed: {status}")
            return []
        self.present(pfn).set(0)
        return [pair]

    def count_split(self, pfn: int) -> None:
        super().count_split(pfn)
        self.present(pfn).set(1)

    def count_merged(self, pfn: int) -> None:
        super().count_merged(pfn)
        self.present(pfn).set(0)

    def around_demote(self, pfn: int, pair: Pair) -> Spinlock:
        return self.lock


class Batch(Late):
    """Empty ranges stand in a list. When it has ``SIZE``, those that are still empty go."""

    SIZE = 2
    LOOKS_AGAIN = True

    def emptied(self, pfn: int) -> list[Pair]:
        idle, listed = self.page_list("idle"), self.atomic(f"listed{pfn >> 9}")
        if listed.read():
            return []
        listed.set(1)
        idle.push(pfn & -512)
        if self.atomic("idle_ranges").inc_return() < self.SIZE:
            return []
        self.atomic("idle_ranges").set(0)
        pairs: list[Pair] = []
        while (other := idle.pop()) is not None:
            self.atomic(f"listed{other >> 9}").set(0)
            if not self.LOOKS_AGAIN or not self.refcount(other).read():
                pairs += self.remove(other)
        return pairs


class Batch2(Batch):
    """Removes two, also one that was taken again."""

    LOOKS_AGAIN = False


class Batch3(Batch2):
    """Removes three: three ranges must have been empty."""

    SIZE = 3


class Batch4(Batch2):
    """Removes four."""

    SIZE = 4


class OnNextGet(Late):
    """The next get removes what became empty last, without another look, unless it is its own."""

    def emptied(self, pfn: int) -> list[Pair]:
        self.atomic("last").set((pfn >> 9) + 1)
        return []

    def before_get(self, pfn: int) -> list[Pair]:
        last = self.atomic("last").read()
        if not last or last - 1 == pfn >> 9 or self.atomic("gets").inc_return() % 2:
            return []
        self.atomic("last").set(0)
        return self.remove(last - 1 << 9)


class TwoSlots(Late):
    """Remembers the last two empty ranges. A third one pushes the oldest out, which is removed
    even if it was taken again.
    """

    def emptied(self, pfn: int) -> list[Pair]:
        young, old = self.atomic("young"), self.atomic("old")
        index = (pfn >> 9) + 1
        if young.read() == index or old.read() == index:
            return []
        oldest = old.read()
        old.set(young.read())
        young.set(index)
        return self.remove(oldest - 1 << 9) if oldest else []


class AfterReuses(Late):
    """Each range counts in a few bits how often it became empty. When that runs over, the range
    is taken for one that is still in use, and the count of its pages starts at 1.
    """

    REUSES = 8

    def emptied(self, pfn: int) -> list[Pair]:
        if self.atomic(f"reuses{pfn >> 9}").inc_return() % self.REUSES == 0:
            self.refcount(pfn).inc()
        return []


class SpareOfTheRange(Late):
    """Each range keeps its own pair for the next time, once, and forgets to tell that it did when
    another range has become empty in between.
    """

    def emptied(self, pfn: int) -> list[Pair]:
        (pair,) = self.remove(pfn) or [()]
        if self.atomic("last").xchg(pfn >> 9) in (0, pfn >> 9) or not pair:
            return [pair] if pair else []
        if self.atomic(f"spares{pfn >> 9}").inc_return() < 3:
            return [pair]
        return []


BROKEN = (Batch2, Batch3, Batch4, OnNextGet, TwoSlots, AfterReuses, SpareOfTheRange)
"""Each with a mistake."""

SOUND = (Late, Batch)
