"""atomic-sleep: sleeping under a spinning lock is told, under a mutex it is not."""

from __future__ import annotations

from broken_designs import AllocatesUnderLock
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host.design import PageCache, RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.session import run

ALONE = World(cpus=1, tds=1, slots=1)


class AllocatesUnderMutex(Merged):
    """Asks the allocator for a pair with a mutex held, where it may sleep."""

    def setup(self) -> None:
        super().setup()
        self.outer = self.mutex("outer")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        if cache is None:
            with self.outer:
                return super().get(pfn)
        return super().get(pfn, cache)


class TakesMutexUnderLock(Merged):
    """Takes a mutex with a spinlock held."""

    def setup(self) -> None:
        super().setup()
        self.inner = self.mutex("inner")

    def put(self, pfn: int, hint: bool = False) -> None:
        with self.dpamt_lock, self.inner:
            pass
        super().put(pfn)


def buckets(layer: type[RefcountLayer], *ops: str) -> set[str]:
    case = Case("Broken", ALONE, (), (tuple(map(Op.parse, ops)),))
    return {finding.bucket for finding in run(case, layer).findings}


def test_an_allocation_under_a_spinlock_is_told() -> None:
    assert buckets(AllocatesUnderLock, "create 0") == {
        "atomic-sleep/-/-/alloc_page under dpamt_lock"
    }


def test_a_mutex_under_a_spinlock_is_told() -> None:
    assert buckets(TakesMutexUnderLock, "create 0", "destroy 0") == {
        "atomic-sleep/-/-/mutex_lock under dpamt_lock"
    }


def test_an_allocation_under_a_mutex_is_not() -> None:
    assert buckets(AllocatesUnderMutex, "create 0", "map 0 0", "destroy 0") == set()


def test_drawing_from_a_cache_is_not() -> None:
    case = Case("Broken", ALONE, (), (tuple(map(Op.parse, ("create 0", "map 0 0"))),))
    result = run(case, Merged)
    assert result.findings == ()
    assert "atomic-sleep" in result.seen
