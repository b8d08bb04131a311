"""Kernel primitives do what the kernel's do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import MAX_SLOTS, MAX_TDS, Op
from tdxfuzz.case.world import World
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.kernel.atomic import Atomic64T, AtomicT
from tdxfuzz.host.kernel.errno import ENOMEM, errno_name
from tdxfuzz.host.kernel.held import HeldLocks
from tdxfuzz.host.kernel.ida import Ida
from tdxfuzz.host.kernel.lock import Spinlock
from tdxfuzz.host.kernel.page import GFP_ATOMIC, GFP_KERNEL, PageAllocator, PageCache
from tdxfuzz.host.layout import Layout
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.module.memory import Memory
from tdxfuzz.run.session import run
from tdxfuzz.sim import FollowSchedule, HarnessError, LocalMemory, Schedule, Simulator

Operation = Callable[[AtomicT], object]


@pytest.mark.parametrize(
    ("start", "operation", "result", "end"),
    [
        (3, lambda a: a.read(), 3, 3),
        (3, lambda a: a.set(7), None, 7),
        (3, lambda a: a.inc(), None, 4),
        (3, lambda a: a.dec(), None, 2),
        (3, lambda a: a.add(-5), None, -2),
        (3, lambda a: a.inc_return(), 4, 4),
        (3, lambda a: a.dec_return(), 2, 2),
        (1, lambda a: a.dec_and_test(), True, 0),
        (2, lambda a: a.dec_and_test(), False, 1),
        (0, lambda a: a.dec_and_test(), False, -1),
        (-1, lambda a: a.inc_and_test(), True, 0),
        (0, lambda a: a.inc_not_zero(), False, 0),
        (1, lambda a: a.inc_not_zero(), True, 2),
        (1, lambda a: a.add_unless(-1, 1), False, 1),
        (2, lambda a: a.add_unless(-1, 1), True, 1),
        (-1, lambda a: a.inc_unless_negative(), False, -1),
        (0, lambda a: a.inc_unless_negative(), True, 1),
        (0, lambda a: a.dec_if_positive(), -1, 0),
        (1, lambda a: a.dec_if_positive(), 0, 0),
        (5, lambda a: a.cmpxchg(5, 9), 5, 9),
        (5, lambda a: a.cmpxchg(4, 9), 5, 5),
        (5, lambda a: a.xchg(9), 5, 9),
    ],
)
def test_an_atomic_operation_is_one_step_with_the_kernels_result(
    start: int, operation: Operation, result: object, end: int
) -> None:
    sim = Simulator(1)
    atomic = AtomicT(sim, "a", start)
    assert operation(atomic) == result
    assert (atomic.value, sim.clock) == (end, 1)


@pytest.mark.parametrize(("kind", "bits"), [(AtomicT, 32), (Atomic64T, 64)])
def test_an_atomic_wraps_at_its_width(kind: type[AtomicT], bits: int) -> None:
    most, least = (1 << bits - 1) - 1, -(1 << bits - 1)

    def after(start: int, operation: Operation) -> tuple[object, int]:
        atomic = kind(Simulator(1), "a", start)
        return operation(atomic), atomic.value

    assert after(most, lambda a: a.inc_return()) == (least, least)
    assert after(least, lambda a: a.dec_return()) == (most, most)
    assert after(most, lambda a: a.inc()) == (None, least)
    assert after(most, lambda a: a.inc_not_zero()) == (True, least)
    assert after(most, lambda a: a.inc_unless_negative()) == (True, least)
    assert after(least, lambda a: a.dec_if_positive()) == (most, most)
    assert after(0, lambda a: a.add_return(1 << bits)) == (0, 0)
    assert after(0, lambda a: a.set(most + 1)) == (None, least)
    assert after(most + 1, lambda a: a.read()) == (least, least)
    # Unsigned constants are compared as what is left of them.
    assert after(-1, lambda a: a.cmpxchg((1 << bits) - 1, 7)) == (-1, 7)
    assert after(-1, lambda a: a.add_unless(1, (1 << bits) - 1)) == (False, -1)
    assert after(-2, lambda a: a.xchg((1 << bits) - 1)) == (-2, -1)
    assert after(-1, lambda a: a.inc_and_test()) == (True, 0)
    assert after((1 << bits) - 1, lambda a: a.inc_and_test()) == (True, 0)


def test_a_reference_count_wraps_as_well_and_the_checks_see_it() -> None:
    class NearTheEnd(Merged):
        initial_refcount = (1 << 31) - 1

        def holders_of(self, refcount: int) -> int:
            return refcount - self.initial_refcount

        def get(self, pfn: int, cache: PageCache | None = None) -> int:
            self.refcount(pfn).inc()
            return super().get(pfn, cache)

    setup = (Op("create", (0,)),)
    finding = run(Case("NearTheEnd", World(), setup), NearTheEnd).finding
    assert finding is not None
    assert finding.bucket == "refcount/-/-/negative"


def test_a_name_is_of_one_kind() -> None:
    class TwoWidths(Merged):
        def setup(self) -> None:
            super().setup()
            self.narrow, self.wide = self.atomic("n"), self.atomic64("n")

    with pytest.raises(HarnessError, match="'n' is a AtomicT, not a Atomic64T"):
        run(Case("TwoWidths"), TwoWidths)


def test_an_ida_gives_the_lowest_free_number() -> None:
    ida = Ida(Simulator(1), "ida", 3, 5)
    assert [ida.alloc() for _ in range(4)] == [3, 4, 5, None]
    ida.free(5)
    ida.free(3)
    assert ida.alloc() == 3


class Sleepers(HostWatch):
    """Remembers who slept where nobody may, and what was freed."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def slept_in_atomic(self, what: str) -> None:
        self.heard.append(what)

    def page_freed(self, pfn: int, was: str | None) -> None:
        self.heard.append(f"freed {pfn} {was}")


def allocator(
    failing: tuple[int, ...] = (), cpus: int = 1, armed: bool = True
) -> tuple[PageAllocator, Spinlock, Sleepers]:
    sim = Simulator(cpus)
    watch = Sleepers()
    held = HeldLocks(sim, cpus, watch)
    pages = PageAllocator(sim, Memory(), [512, 1024], held, watch)
    pages.failing = frozenset(failing)
    if armed:
        pages.arm()
    return pages, Spinlock(sim, "lock", held), watch


def test_pages_come_from_all_ranges_in_turn_and_the_last_freed_first() -> None:
    pages, _, _ = allocator()
    first, second = pages.alloc_page(what="a"), pages.alloc_page(what="b")
    assert (first, second) == (512 + 128, 1024 + 128)
    assert first is not None
    pages.free_page(first)
    assert pages.alloc_page(what="c") == first
    assert pages.allocated == {first: "c", second: "b"}


def test_an_allocation_fails_where_the_case_says_so() -> None:
    pages, _, _ = allocator(failing=(1,))
    assert pages.alloc_page() is not None
    assert pages.alloc_page() is None
    assert pages.alloc_page() is not None
    assert (pages.count, pages.refused) == (3, 1)


def test_each_cpu_has_a_share_of_the_pages_and_a_list_of_its_own() -> None:
    pages, _, _ = allocator(cpus=2)
    handed_out: list[tuple[int | None, ...]] = [(), ()]

    def body(cpu: int) -> None:
        first, second = pages.alloc_page(), pages.alloc_page()
        assert first is not None
        pages.free_page(first)
        handed_out[cpu] = first, second, pages.alloc_page()

    sim = pages.sim
    sim.policy = FollowSchedule(Schedule.of([(1, 1), (2, 0), (3, 1), (4, 0)]))
    sim.run([lambda: body(0), lambda: body(1)])
    near, far = 512 + 128, 1024 + 128
    assert handed_out == [(near, far, near), (far + 1, near + 2 + 1, far + 1)], "in any order"


def test_what_was_handed_out_during_the_setup_is_not_shared_out() -> None:
    pages, _, _ = allocator(cpus=2, armed=False)
    assert [pages.alloc_page() for _ in range(3)] == [640, 1152, 641]
    pages.arm()
    assert [pcp.start for pcp in pages.pcp] == [2, 3]


def test_memory_is_finite() -> None:
    pages, _, _ = allocator()
    assert sum(pages.alloc_page() is not None for _ in range(1000)) == 2 * 2 * 128


def test_the_kernel_never_hands_out_a_guests_page() -> None:
    pages, _, _ = allocator()
    kernels = {pages.alloc_page() for _ in range(1000)}
    world = World(tds=MAX_TDS, slots=MAX_SLOTS, guest_ranges=(0,))
    first = Layout(world).range_pfn(0)
    guests = {
        512 + Layout(world).guest_pfn(td, slot) - first
        for td in range(MAX_TDS)
        for slot in range(MAX_SLOTS)
    }
    assert not kernels & guests


def test_only_gfp_kernel_may_not_be_used_under_a_spinlock() -> None:
    pages, lock, watch = allocator()
    pages.alloc_page(GFP_KERNEL, "fine")
    with lock:
        pages.alloc_page(GFP_ATOMIC, "fine too")
        pages.alloc_page(GFP_KERNEL, "bad")
    pages.alloc_page(GFP_KERNEL, "fine again")
    assert watch.heard == ["alloc_page(GFP_KERNEL) for a bad"]


def test_a_double_free_is_reported_and_does_no_harm() -> None:
    pages, _, watch = allocator()
    pfn = pages.alloc_page(what="page")
    assert pfn is not None
    pages.free_page(pfn)
    pages.free_page(pfn)
    assert watch.heard == [f"freed {pfn} page", f"freed {pfn} None"]
    assert pages.alloc_page() != pages.alloc_page()


def test_a_cache_is_topped_up_and_runs_dry() -> None:
    pages, _, _ = allocator(failing=(3,))
    cache = PageCache(pages, "cached")
    assert cache.topup(2) == 0
    assert cache.topup(2) == 0, "full already"
    assert pages.count == 2
    assert cache.topup(4) == -ENOMEM
    assert [cache.pop() is None for _ in range(4)] == [False, False, False, True]


def test_of_a_topup_its_cpu_knows_the_result_and_later_each_page_it_draws() -> None:
    known = []
    for first in (0, 1):
        pages, _, _ = allocator()
        cache = PageCache(pages, "cached")
        cache.topup(first)
        local = pages.sim.local = LocalMemory(1)
        cache.topup(2)
        known.append(local.known[0])
        assert cache.pop() is not None
        known.append(local.known[0])
    assert known[0] == known[2] != known[1]


def test_draining_a_cache_gives_everything_back() -> None:
    pages, _, _ = allocator()
    cache = PageCache(pages, "cached")
    cache.topup(3)
    cache.drain()
    assert pages.allocated == {}


@pytest.mark.parametrize(("result", "name"), [(0, "0"), (-12, "-ENOMEM"), (-99, "-99")])
def test_errnos_have_names(result: int, name: str) -> None:
    assert errno_name(result) == name
