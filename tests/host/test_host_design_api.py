"""What a design may and may not do, and what it is told when it does the latter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host import design, kvm
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.host import Host
from tdxfuzz.host.kvm.under import under
from tdxfuzz.host.kvm.vm import Vm
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.session import Session, UnknownDesignError, run
from tdxfuzz.sim import HarnessError

CASE = Case("Mine", World(cpus=1), (), ((Op("create", (0,)),),))


class Counting(Merged):
    def get(self, pfn: int, cache: design.PageCache | None = None) -> int:
        self.calls = 1
        return super().get(pfn, cache)


class Collecting(Merged):
    def setup(self) -> None:
        super().setup()
        self.seen: dict[str, list[int]] = {"pfns": []}

    def get(self, pfn: int, cache: design.PageCache | None = None) -> int:
        self.seen["pfns"].append(pfn)
        return super().get(pfn, cache)


class Truthy(Merged):
    def get(self, pfn: int, cache: design.PageCache | None = None) -> int:
        return super().get(pfn, cache) + 1


class Lazy(Merged):
    def put(self, pfn: int, hint: bool = False) -> Iterator[None]:  # type: ignore[override]
        yield super().put(pfn)


class Promising(Merged):
    async def put(self, pfn: int, hint: bool = False) -> None:  # type: ignore[override]
        super().put(pfn)


class NeverKicks(kvm.Kvm):
    def kick_vcpus(self, vm: Vm) -> Iterator[None]:  # type: ignore[override]
        yield super().kick_vcpus(vm)


class Raising(Merged):
    def put(self, pfn: int, hint: bool = False) -> None:
        raise LookupError("no such range")


class Confused(Merged):
    def setup(self) -> None:
        super().setup()
        self.mutex("dpamt_lock")


class Incomplete(design.RefcountLayer):
    pass


@pytest.mark.parametrize(
    ("layer", "complaint"),
    [
        (Counting, "Counting.calls is set outside setup()"),
        (Collecting, "Collecting.seen was changed after setup()"),
        (Truthy, "Truthy.get() returned 1; it must return 0 or a negative errno"),
        (Confused, "'dpamt_lock' is a Spinlock, not a Mutex"),
        (Incomplete, "Incomplete has no get()"),
        (Lazy, "Lazy.put() is async or holds a yield, so that calling it runs nothing"),
        (Promising, "Promising.put() is async or holds a yield"),
        (under(Merged, NeverKicks), "NeverKicks.kick_vcpus() is async or holds a yield"),
    ],
)
def test_misuse_is_a_harness_error_and_never_a_finding(
    layer: type[design.RefcountLayer], complaint: str
) -> None:
    with pytest.raises(HarnessError) as caught:
        run(CASE, layer)
    assert complaint in str(caught.value)


def test_a_design_that_raises_is_blamed_with_its_own_traceback() -> None:
    case = Case("Mine", World(cpus=1), (), ((Op("create", (0,)), Op("destroy", (0,))),))
    with pytest.raises(DesignError) as caught:
        run(case, Raising)
    assert "design Raising raised LookupError: no such range" in str(caught.value)
    assert "test_host_design_api.py" in str(caught.value)
    assert "in put" in caught.value.details


def test_a_case_of_an_unknown_design_needs_its_class() -> None:
    with pytest.raises(UnknownDesignError, match="'Mine'"):
        run(CASE)


def host() -> Host:
    return Session(CASE, Merged).host


def test_things_with_one_name_are_one_thing() -> None:
    layer = host().layer
    assert layer.spinlock("a") is layer.spinlock("a")
    assert layer.rwlock("b") is not layer.rwlock("c")
    assert layer.atomic("n", 5).value == 5
    assert layer.atomic("n", 7).value == 5, "the first value counts"


def test_a_range_has_one_refcount() -> None:
    h = host()
    first = h.layout.range_pfn(0)
    assert h.layer.refcount(first) is h.layer.refcount(first + 511)
    assert h.layer.refcount(first) is not h.layer.refcount(first + 512)


def test_pages_for_a_pair_are_taken_back_if_only_one_can_be_had() -> None:
    h = host()
    cache = design.PageCache(h.pages, "PAMT page")
    cache.topup(1)
    assert h.layer.alloc_pair(cache) is None
    assert h.pages.allocated == {}


def test_add_and_remove_give_status_and_pair() -> None:
    h = host()
    pfn = h.layout.range_pfn(0) + 7
    pair = h.layer.alloc_pair()
    assert pair is not None
    assert h.layer.pamt_add(pfn, pair).ok
    assert h.layer.pamt_add(pfn, (pair[0] + 9, pair[1] + 9)).name == "HPA_RANGE_NOT_FREE"
    status, back = h.layer.pamt_remove(pfn)
    assert (status.ok, back) == (True, pair)
    status, back = h.layer.pamt_remove(pfn)
    assert (status.name, back) == ("NO_PAMT_PAGE_PAIR", None)


def test_a_pair_is_scrubbed_unless_the_design_says_no() -> None:
    h = host()
    pfn = h.layout.range_pfn(0)
    for scrub in (True, False):
        pair = h.layer.alloc_pair()
        assert pair is not None
        h.layer.pamt_add(pfn, pair)
        h.layer.pamt_remove(pfn)
        assert h.module.memory.is_dirty(pair[0])
        h.layer.free_pair(pair, scrub)
        assert h.module.memory.is_dirty(pair[0]) is not scrub


def test_any_leaf_can_be_called_by_name() -> None:
    h = host()
    status, regs = h.layer.seamcall("TDH.PHYMEM.PAGE.RDMD", rcx=h.layout.range_pfn(0) << 12)
    assert status.ok
    assert regs.r8 == 1, "the range has no pair: the walk ends at 2MB"


class HoldsNothing(Merged):
    def around_demote(self, pfn: int, pair: design.Pair) -> None:  # type: ignore[override]
        return None


def test_what_is_held_around_demote_must_be_something_that_is_held() -> None:
    setup = tuple(map(Op.parse, ("create 0", "map2m 0 0")))
    world = World(cpus=1, tds=1, slots=1, areas=1, entries=4)
    case = Case("HoldsNothing", world, setup, ((Op.parse("accept4k 0 0"),),))
    with pytest.raises(DesignError, match=r"HoldsNothing\.around_demote\(\) returned None"):
        run(case, HoldsNothing)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("tolerates", frozenset({"NOSUCH"}), "names 'NOSUCH', but there is no such status"),
        ("tolerates", "OPERAND_BUSY", "is 'OPERAND_BUSY', and not a set of names"),
        ("kvm_repeats", {"BUSY"}, "names 'BUSY', but there is no such status"),
        ("declared_leaks", frozenset({"pairs"}), "names 'pairs', but there is no such leak"),
        ("kworkers", -1, "is -1, and not a number from 0 on"),
    ],
)
def test_a_declaration_that_says_nothing_is_refused(field: str, value: object, said: str) -> None:
    mistyped = type("Mine", (Merged,), {field: value})
    with pytest.raises(HarnessError, match=f"Mine.{field} {said}"):
        run(CASE, mistyped)
