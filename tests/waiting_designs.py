"""Designs with a seqcount, per-CPU counts, RCU or a completion: right, and with a mistake each."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from primitive_designs import Counted
from tdxfuzz.host import design
from workqueue_designs import Deferred


class Recorded(Counted):
    """Which pages back the range that came last is recorded, and read without a lock."""

    def setup(self) -> None:
        super().setup()
        self.record = self.seqcount("record")
        self.pages = self.atomic("first page"), self.atomic("second page")

    def write(self, pair: design.Pair) -> None:
        self.lockdep_assert_held(self.pamt_lock)
        with self.record.write():
            for cell, page in zip(self.pages, pair, strict=True):
                cell.set(page)

    def first(self, count: design.RefcountT) -> None:
        super().first(count)
        self.write((1, 1))

    def remove(self, pfn: int) -> design.Pair | None:
        self.write((0, 0))
        return super().remove(pfn)

    def topup(self) -> int:
        one, two = self.read()
        if one != two:
            self.warn("half of a pair was read")
        return 0

    def read(self) -> tuple[int, int]:
        while True:
            start = self.record.read_begin()
            one, two = [cell.read() for cell in self.pages]
            if not self.record.read_retry(start):
                return one, two


class RecordedUnchecked(Recorded):
    """The mistake: nobody looks whether the record changed meanwhile."""

    def read(self) -> tuple[int, int]:
        self.record.read_begin()
        one, two = [cell.read() for cell in self.pages]
        return one, two


class RecordedInTheOpen(Recorded):
    """The mistake: it is written with preemption on."""

    def topup(self) -> int:
        with self.record.write():
            pass
        return super().topup()


class CountedPerCpu(Counted):
    """Each CPU counts the pairs that it adds and removes."""

    def setup(self) -> None:
        super().setup()
        self.pairs = self.per_cpu("pairs")

    def first(self, count: design.RefcountT) -> None:
        super().first(count)
        self.pairs.raw_write(self.pairs.raw_read() + 1)

    def remove(self, pfn: int) -> design.Pair | None:
        self.pairs.this_cpu_add(-1)
        return super().remove(pfn)

    def topup(self) -> int:
        with self.preempt_disabled():
            self.pairs.raw_read()
        if self.pairs.sum() > 100:
            self.warn("more pairs than there can be")
        return 0


class CountedPreemptibly(CountedPerCpu):
    """The mistake: its own count is read with preemption on."""

    def topup(self) -> int:
        self.pairs.raw_read()
        return 0


class SleepsUnpreempted(CountedPerCpu):
    """The mistake: it sleeps with preemption off."""

    def topup(self) -> int:
        with self.preempt_disabled():
            self.synchronize_rcu()
        return 0


class Tabled(Counted):
    """Counts stand in a table, which a top-up replaces by another one. Its readers take no lock."""

    def setup(self) -> None:
        super().setup()
        self.table = self.atomic("table")
        self.tables = self.atomic("tables")
        self.in_use(0).set(1)

    def in_use(self, table: int) -> design.AtomicT:
        return self.atomic(f"in_use[{table}]")

    def reading(self) -> AbstractContextManager[None]:
        return self.rcu_read()

    def get(self, pfn: int, cache: design.PageCache | None = None) -> int:
        with self.reading():
            if not self.in_use(self.table.read()).read():
                self.warn("a table is read that was freed")
        return super().get(pfn, cache)

    def topup(self) -> int:
        new = self.tables.inc_return()
        self.in_use(new).set(1)
        self.free_behind_readers(self.table.xchg(new))
        return 0

    def free_behind_readers(self, old: int) -> None:
        self.synchronize_rcu()
        self.free_table(old)

    def free_table(self, table: int) -> None:
        self.in_use(table).set(0)


class TabledAtOnce(Tabled):
    """The mistake: a table is freed at once."""

    def free_behind_readers(self, old: int) -> None:
        self.free_table(old)


class TabledUnread(Tabled):
    """The mistake: a reader does not say that it is one."""

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()


class TabledAsleep(Tabled):
    """The mistake: it waits for all readers, of which it is one."""

    def free_behind_readers(self, old: int) -> None:
        with self.rcu_read():
            super().free_behind_readers(old)


class TabledLater(Tabled):
    """A table is freed by a callback. There are never more than one of each CPU."""

    kworkers = 4

    def free_behind_readers(self, old: int) -> None:
        self.rcu_barrier()
        self.call_rcu(self.free_table, old)


class TabledSleepily(TabledLater):
    """The mistake: the callback sleeps."""

    def free_table(self, table: int) -> None:
        self.synchronize_rcu()
        super().free_table(table)


class TabledUnderALock(Tabled):
    """The mistake: it waits for callbacks, of which there are none, with a spinlock held."""

    kworkers = 1

    def free_behind_readers(self, old: int) -> None:
        with self.pamt_lock:
            self.rcu_barrier()
        super().free_behind_readers(old)


class Completed(Deferred):
    """A top-up schedules the removals, and waits until they were done once."""

    def setup(self) -> None:
        super().setup()
        self.removed = self.completion("removed")

    def topup(self) -> int:
        self.removal.schedule()
        self.removed.wait()
        return 0

    def remove_idle(self) -> None:
        super().remove_idle()
        self.complete()

    def complete(self) -> None:
        self.removed.complete_all()


class CompletedForOne(Completed):
    """The mistake: of two that wait for one end, only one is told."""

    def complete(self) -> None:
        self.removed.complete()
