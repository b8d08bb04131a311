"""2MB pages in KVM: mapped whole, split, zapped, merged, and each step undone when it fails."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.abi.address import hpa_of
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import ALL_ENTRIES, World
from tdxfuzz.host.design import ENOMEM, Pair
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.host import Host
from tdxfuzz.host.kernel.lock import Spinlock
from tdxfuzz.host.kvm.vm import Spte
from tdxfuzz.host.operations import run as perform
from tdxfuzz.module.pamt import PT, Pamt2M
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Session, run
from tdxfuzz.sim import End, Fault, Schedule
from tiers import first_quick

FEW = World(cpus=1, tds=2, slots=1, areas=1, entries=4)
AREA = "0 0"


def ops(text: str) -> tuple[Op, ...]:
    return tuple(map(Op.parse, filter(None, text.split("; "))))


def begun(setup: str, world: World = FEW, design: str = "merged") -> Host:
    """A host after a set-up; nothing was found in it."""
    session = Session(Case(design, world, ops(f"create 0; {setup}"), ((),) * world.cpus))
    assert session.findings == []
    return session.host


def node_of(host: Host) -> Pamt2M:
    hpa = hpa_of(host.layout.area_pfn(0, 0))
    return host.module.pamt.blocks[hpa >> 30].entry_2m(hpa)


def refcount(host: Host) -> int:
    return host.layer.refcount(host.layout.area_pfn(0, 0)).value


def life(
    program: str, world: World = FEW, design: str = "merged", faults: tuple[Fault, ...] = ()
) -> Run:
    """One CPU's program, from nothing to nothing."""
    programs = (ops(f"create 0; {program}; destroy 0"),)
    return run(Case(design, world, programs=programs, faults=faults, steps=400_000))


def test_a_whole_page_has_no_pair_and_no_reference() -> None:
    host = begun("map2m 0 0")
    assert node_of(host).pt == PT.REG
    assert refcount(host) == 0
    spte = host.vms[0].spte(host.sim, 1, host.layout.area_gpa(0))
    assert (spte.value, spte.pfn) == (Spte.HUGE, host.layout.area_pfn(0, 0))


@pytest.mark.parametrize("entries", [4, ALL_ENTRIES])
def test_a_split_page_has_a_pair_and_a_reference_for_each_small_one(entries: int) -> None:
    host = begun("map2m 0 0; accept4k 0 0", evolve(FEW, entries=entries))
    node = node_of(host)
    assert node.is_node
    assert node.page_count.value == refcount(host) == entries
    assert len(host.holders_of(host.layout.area_pfn(0, 0)).pages) == entries
    spte = host.vms[0].spte(host.sim, 1, host.layout.area_gpa(0))
    assert spte.value == Spte.PRESENT
    assert host.pages.allocated[spte.pfn] == "S-EPT page"


def test_a_split_page_that_is_merged_is_as_before() -> None:
    host = begun("map2m 0 0; accept4k 0 0")
    free = len(host.pages.allocated)
    host = begun("map2m 0 0; accept4k 0 0; promote 0 0")
    assert node_of(host).pt == PT.REG
    assert refcount(host) == 0
    assert not host.holders_of(host.layout.area_pfn(0, 0)).pages
    assert len(host.pages.allocated) == free - 3
    assert perform(host, Op("accept4k", (0, 0))) == 0
    assert refcount(host) == 4


def test_what_is_not_whole_is_not_merged() -> None:
    host = begun("accept4k 0 0")
    assert refcount(host) == 1
    assert perform(host, Op("promote", (0, 0))) == 0
    assert refcount(host) == 1


def test_a_guest_that_accepts_small_pages_gets_small_ones() -> None:
    host = begun("accept4k 0 0; map2m 0 0")
    assert node_of(host).page_count.value == refcount(host) == 1


def test_a_memslot_that_comes_back_is_mapped_at_the_other_size() -> None:
    host = begun("map2m 0 0; zap2m 0 0; accept4k 0 0")
    assert refcount(host) == 1
    host = begun("accept4k 0 0; zap2m 0 0")
    assert (refcount(host), node_of(host).is_node) == (0, False)


PROGRAMS = [
    "map2m 0 0",
    "map2m 0 0; accept4k 0 0",
    "map2m 0 0; accept4k 0 0; promote 0 0; accept4k 0 0; zap2m 0 0; map2m 0 0",
    "accept4k 0 0; zap2m 0 0; map2m 0 0; map2m 0 0",
]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("entries", [4, ALL_ENTRIES])
def test_a_life_ends_with_nothing_left(program: str, entries: int) -> None:
    ran = life(program, evolve(FEW, entries=entries))
    assert ran.finding is None
    assert ran.outcome.steps > 0


FIND_AT_ONCE = {"rfc", "v2", "v3-base", "v5", "per-range-rwlock"}
"""Designs whose bug shows with one CPU."""


@pytest.mark.parametrize("pages", [1, 2, 4])
@pytest.mark.parametrize("design", sorted(set(DESIGNS) - FIND_AT_ONCE))
def test_designs_do_with_any_number_of_pages_for_a_range(design: str, pages: int) -> None:
    variant = {1: "one-page", 2: "1.5.25", 4: "four-pages"}[pages]
    ran = life(PROGRAMS[2], evolve(FEW, module_variant=variant), design)
    assert ran.finding is None
    session = Session(
        Case(design, evolve(FEW, module_variant=variant), ops("create 0; accept4k 0 0"), ((),))
    )
    assert len(node_of(session.host).backing) == pages


def test_without_dynamic_pamt_a_page_is_split_without_a_pair() -> None:
    assert life(PROGRAMS[2], evolve(FEW, dynamic_pamt=False)).finding is None


@pytest.mark.parametrize("design", ["v4", "v6", "merged"])
def test_any_allocation_may_fail(design: str) -> None:
    """What was done is undone: nothing is left when the TD goes."""
    undisturbed = life(PROGRAMS[2], design=design).outcome.steps
    refused = 0
    for index in range(60):
        ran = life(PROGRAMS[2], design=design, faults=(Fault("alloc", index),))
        assert ran.finding is None, ran.finding
        refused += ran.outcome.steps != undisturbed
    assert refused >= 30


class NoPair(Merged):
    """Has no pages for a split."""

    def demote(self, pfn: int, cache: object, page_demote: object) -> None:
        return None


def test_a_split_without_pages_is_undone() -> None:
    case = Case("NoPair", FEW, ops("create 0; map2m 0 0"), ((),))
    host = Session(case, NoPair).host
    assert perform(host, Op("accept4k", (0, 0))) == -ENOMEM
    assert node_of(host).pt == PT.REG
    assert perform(host, Op("zap2m", (0, 0))) == 0
    assert perform(host, Op("destroy", (0,))) == 0
    assert not host.pages.allocated


class CountsNothing(Merged):
    """Leaves out the count of a split: the first page that goes takes the pair away (B13)."""

    def count_split(self, pfn: int) -> None:
        pass


class CountsTooSoon(Merged):
    """Counts a split before the module has done it: what is undone stays counted (B13)."""

    def around_demote(self, pfn: int, pair: Pair) -> Spinlock:
        self.refcount(pfn).set(1)
        return super().around_demote(pfn, pair)


@pytest.mark.parametrize(
    ("layer", "bucket"),
    [
        (CountsNothing, "refcount/-/-/too low"),
        (
            CountsTooSoon,
            "unexpected-status/CountsTooSoon/WARN/the range that was split had been counted before",
        ),
    ],
)
def test_a_miscounted_split_is_found(layer: type[Merged], bucket: str) -> None:
    case = Case(layer.__name__, FEW, programs=(ops("create 0; map2m 0 0; accept4k 0 0"),))
    found = run(case, layer).finding
    assert found is not None
    assert found.bucket == bucket


@pytest.mark.parametrize("design", first_quick(1, ["v6", "merged"]))
def test_a_td_may_be_killed_at_any_step_of_a_split(design: str) -> None:
    """Another CPU closes the VM: it goes when the split is over, and nothing is left."""
    world = evolve(FEW, cpus=2)
    setup = ops("create 0; map2m 0 0")
    case = Case(design, world, setup, (ops("accept4k 0 0; zap2m 0 0"), ops("destroy 0")))
    steps = run(case).outcome.steps
    for step in range(steps):
        ran = run(case.with_schedule(Schedule.of([(step, 1)])))
        assert ran.finding is None, (step, ran.finding)
        assert ran.outcome.end is End.REST


def test_areas_must_fit() -> None:
    with pytest.raises(ValueError, match="'areas' must fit: 2 for each of 4 TDs"):
        World(tds=4, areas=2)
    with pytest.raises(ValueError, match="'entries' must be a power of two"):
        World(entries=3)
    with pytest.raises(ValueError, match="the world has only 1 areas"):
        Case("v6", FEW, programs=(ops("map2m 0 1"),))
