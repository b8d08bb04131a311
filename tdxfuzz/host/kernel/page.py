"""Pages: the page allocator, and caches topped up before a lock and drawn under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.host.kernel.errno import ENOMEM
from tdxfuzz.sim import RMW, Cell, Declared, NamedCell

if TYPE_CHECKING:
    from tdxfuzz.host.kernel.held import HeldLocks
    from tdxfuzz.host.watch import HostWatch
    from tdxfuzz.module.memory import Memory
    from tdxfuzz.sim import Contents, Simulator

GFP_KERNEL = "GFP_KERNEL"
GFP_ATOMIC = "GFP_ATOMIC"

FIRST_KERNEL_PAGE = 128
KERNEL_PAGES = 128
"""In each half of a 2MB range the first pages are left to guests, the others are the kernel's."""


class PcpList(NamedCell):
    """One CPU's free pages (``struct per_cpu_pages``): the page freed last is handed out
    first, then pages never handed out before, of which each CPU has a share.

    The share are every ``stride``-th of the kernel's pages of a range from ``start`` on, of
    each range in turn; ``next`` is the number of the one that comes next. CPUs begin with
    different ranges.
    """

    __slots__ = ("free", "next", "start", "stride")

    STATE: ClassVar = Declared(shared="free next", fixed="start stride")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.free: list[int] = []
        self.next = 0
        self.start = 0
        self.stride = 1


class PageAllocator(Cell):
    """The page allocator: a list of free pages for each CPU, as Linux has for single pages,
    so that CPUs allocating at once do not depend on each other's order.

    ``allocated`` says for each PFN in use what for; ``count`` and ``refused`` count
    allocations, and those that failed; ``whole_ranges`` are those still to be had. Only
    once it is armed do allocations count and fail; what came before is the set-up's, alone
    on its CPU. ``failing`` are indices (from 0) of the allocations that fail; with any, their
    order matters, and all are steps on the allocator itself. ``drawn`` counts pages that were
    taken from caches.

    Args:
        sim: the simulator.
        memory: physical memory, for scrubbing.
        ranges: first PFNs of the 2MB ranges that serve kernel allocations, in turn.
        held: to notice an allocation that may sleep under a spinning lock.
        watch: who is told what happens.
        whole_ranges: first PFNs of the 2MB ranges that can be had as a whole, in order.
        fresh_ranges: first PFNs of the ranges that serve all once the allocator is armed.
    """

    __slots__ = (
        "_fresh",
        "_held",
        "allocated",
        "armed",
        "count",
        "drawn",
        "failing",
        "memory",
        "pcp",
        "ranges",
        "refused",
        "watch",
        "whole_ranges",
    )

    STATE: ClassVar = Declared(
        shared="allocated count whole_ranges",
        parts="pcp",
        memory="refused",
        tally="drawn",
        derived="watch",
        fixed="_fresh _held armed failing memory ranges",
    )

    def __init__(
        self,
        sim: Simulator,
        memory: Memory,
        ranges: Sequence[int],
        held: HeldLocks,
        watch: HostWatch,
        whole_ranges: Sequence[int] = (),
        fresh_ranges: Sequence[int] = (),
    ) -> None:
        super().__init__(sim)
        self.armed = False
        self.whole_ranges = list(whole_ranges)
        self.memory = memory
        self.ranges = tuple(ranges)
        self.allocated: dict[int, str] = {}
        self.count = 0
        self.drawn = 0
        self.refused = 0
        self.watch = watch
        self.pcp = [PcpList(sim, f"pcp{cpu.id}") for cpu in sim.cpus if cpu.on == cpu.id]
        self.failing: frozenset[int] = frozenset()
        self._fresh = tuple(fresh_ranges)
        self._held = held

    @property
    def name(self) -> str:
        return "page allocator"

    def in_key(self, read: Contents) -> tuple[object, ...]:
        """How many allocations there were matters only where one of them is to fail, and of those
        that failed only whether there were any.
        """
        count = self.count if self.failing else 0
        lists = read(self.pcp), read(self.whole_ranges), read(self.allocated)
        return *lists, count, self.refused > 0

    def arm(self) -> None:
        """The set-up is over: allocations may fail, and each CPU gets its share of the
        pages that were never handed out.
        """
        self.armed = True
        if self._fresh:
            self.ranges = self._fresh
            for pcp in self.pcp:
                pcp.free.clear()
                pcp.start = pcp.next = 0
        start = self.pcp[0].start + -(-self.pcp[0].next // len(self.ranges))
        for i, pcp in enumerate(self.pcp):
            pcp.start, pcp.stride, pcp.next = start + i, len(self.pcp), i % len(self.ranges)

    def alloc_page(self, gfp: str = GFP_KERNEL, what: str = "page") -> int | None:
        """``alloc_page``: a PFN, or None when memory is out (or the case says so).

        ``what`` is what the caller wants it for; reports use it.
        """
        if gfp == GFP_KERNEL and not self._held.may_sleep():
            self.watch.slept_in_atomic(f"alloc_page({gfp}) for a {what}")
        return self._take(self._step(), what)

    def alloc_bulk(self, count: int, what: str) -> list[int]:
        """So many pages for a cache, or as many as there are: all in one step, for which of
        two CPUs gets which page of a row of them is nothing a design can depend on.
        """
        if not self._held.may_sleep():
            self.watch.slept_in_atomic(f"alloc_page({GFP_KERNEL}) for a {what}")
        pcp = self._step()
        pages: list[int] = []
        while len(pages) < count:
            pfn = self._take(pcp, what)
            if pfn is None:
                break
            pages.append(pfn)
        return pages

    def _step(self) -> PcpList:
        """This CPU's list, announced."""
        pcp = self.pcp[self.sim.current.on]
        self.sim.step(self if self.failing else pcp, RMW)
        return pcp

    def _take(self, pcp: PcpList, what: str) -> int | None:
        pfn = None
        if not self._must_fail():
            pfn = pcp.free.pop() if pcp.free else self._next_fresh(pcp)
        if pfn is None:
            self.refused += 1
        else:
            self.allocated[pfn] = what
        self.watch.page_allocated(pfn)
        return pfn

    def alloc_block(self, what: str) -> int | None:
        """``alloc_pages(GFP_KERNEL, 9)``: the first PFN of a whole 2MB range, or None.

        Its pages belong to the caller one by one.
        """
        if not self._held.may_sleep():
            self.watch.slept_in_atomic(f"alloc_pages({GFP_KERNEL}, 9) for a {what}")
        self.sim.step(self, RMW)
        if self._must_fail() or not self.whole_ranges:
            self.refused += 1
            self.watch.page_allocated(None)
            return None
        first = self.whole_ranges.pop(0)
        for pfn in range(first, first + 512):
            self.allocated[pfn] = what
            self.watch.page_allocated(pfn)
        return first

    def _must_fail(self) -> bool:
        if not self.armed:
            return False
        self.count += 1
        return self.count - 1 in self.failing

    def free_page(self, pfn: int) -> None:
        """``__free_page``: to the list of the CPU that frees it."""
        pcp = self._step()
        self.watch.page_freed(pfn, self.allocated.get(pfn))
        if pfn in self.allocated:
            del self.allocated[pfn]
            pcp.free.append(pfn)

    def scrub(self, pfn: int) -> None:
        """Overwrite a page with zeroes (MOVDIR64B): ``tdx_clear_page``, quirk reset."""
        self.memory.scrub(pfn)
        self.watch.page_scrubbed(pfn)

    def _next_fresh(self, pcp: PcpList) -> int | None:
        place, turn = divmod(pcp.next, len(self.ranges))
        half, index = divmod(pcp.start + place * pcp.stride, KERNEL_PAGES)
        if half > 1:
            return None
        pcp.next += 1
        return self.ranges[turn] + half * 256 + FIRST_KERNEL_PAGE + index


class PageList(NamedCell):
    """Pages that CPUs share, last in, first out; each push and pop is a step."""

    __slots__ = ("pages",)

    STATE: ClassVar = Declared(shared="pages")

    def __init__(self, sim: Simulator, name: str) -> None:
        super().__init__(sim, name)
        self.pages: list[int] = []

    def pop(self) -> int | None:
        """The page pushed last; None if there is none."""
        self.sim.step(self, RMW)
        return self.pages.pop() if self.pages else None

    def push(self, *pfns: int) -> None:
        """Put pages on top, all at once."""
        self.sim.step(self, RMW)
        self.pages.extend(pfns)


class PageCache:
    """A cache of pages in the manner of ``kvm_mmu_memory_cache``: one vCPU's own.

    ``has_head`` says whether the head of its list has been made.
    """

    __slots__ = ("_sim", "allocator", "has_head", "pages", "what")

    STATE: ClassVar = Declared(shared="has_head pages", fixed="_sim allocator what")

    def __init__(self, allocator: PageAllocator, what: str, has_head: bool = True) -> None:
        self._sim = allocator.sim
        self.allocator = allocator
        self.has_head = has_head
        self.what = what
        self.pages: list[int] = []

    def topup(self, count: int) -> int:
        """Hold at least ``count`` pages; 0 or -ENOMEM. May sleep."""
        local, cpu = self._sim.local, self._sim.current.id
        missing = count - len(self.pages)
        if local is not None:
            local.enter(cpu)
            local.learn(cpu, missing)
        if missing > 0:
            self.pages += self.allocator.alloc_bulk(missing, self.what)
        result = 0 if len(self.pages) >= count else -ENOMEM
        if local is not None:
            local.leave(cpu, result)
        return result

    def pop(self) -> int | None:
        """Draw a page; None if the cache ran dry."""
        pfn = self.pages.pop() if self.pages else None
        if self._sim.local is not None:
            # No step, for only its CPU has it; but that CPU knows more now.
            self._sim.local.learn(self._sim.current.id, pfn or 0)
        if pfn is None:
            self.allocator.watch.cache_dry(self.what)
        else:
            self.allocator.drawn += 1
        return pfn

    def drain(self) -> None:
        """Give everything back."""
        if not self.has_head:
            self.allocator.watch.cache_without_head(self.what)
        while self.pages:
            self.allocator.free_page(self.pages.pop())
