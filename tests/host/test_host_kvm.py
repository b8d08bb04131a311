"""KVM's paths, alone on one CPU, under every design."""

from __future__ import annotations

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host import operations
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.host import Host
from tdxfuzz.host.kernel.errno import EEXIST, ENOENT, ENOMEM, ENOSPC
from tdxfuzz.module.snapshot import used_pages
from tdxfuzz.run.session import Session
from tdxfuzz.sim import Fault

WORLD = World(cpus=1, tds=2, slots=4, guest_ranges=(0,), kernel_ranges=(1, 2))


def host_of(design: str, world: World = WORLD, faults: tuple[Fault, ...] = ()) -> Host:
    return Session(Case(design, world, programs=((),) * world.cpus, faults=faults)).host


def do(host: Host, *texts: str) -> list[int]:
    return [operations.run(host, Op.parse(text)) for text in texts]


def pairs(host: Host) -> int:
    return sum(node.is_node for node in host.module.pamt.nodes())


def has_pair(host: Host, index: int) -> bool:
    pfn = host.layout.range_pfn(index)
    return host.module.pamt.blocks[pfn >> 18].entry_2m(pfn << 12).is_node


WASTEFUL = ("hint", "hint-retry")
"""Designs under which a pair may stay behind."""

BLOCKS = "dedicated-pool"
"""The design that keeps its 2MB blocks."""

BROKEN_ALONE = ("v3-base",)
"""Designs that one CPU suffices to break."""

LEAKS_HALF_A_PAIR = ("v3", "v5", "v5-irqsave")


def kept(host: Host, design: str) -> int:
    """Pages a design may keep when all TDs are gone."""
    if design == BLOCKS:
        return 512 * (bool(host.pages.allocated))
    return 2 * pairs(host) if design in WASTEFUL else 0


@pytest.mark.parametrize("design", [name for name in DESIGNS if name not in BROKEN_ALONE])
def test_a_td_comes_and_goes_and_leaves_nothing_behind(design: str) -> None:
    host = host_of(design)
    life = ("create 0", "vcpu 0", "map 0 0", "map 0 1", "zap 0 0", "map 0 2", "convert 0 1")
    assert do(host, *life, "convert 0 1", "map 0 1", "destroy 0") == [0] * 10
    assert list(used_pages(host.module)) == []
    assert len(host.pages.allocated) == kept(host, design)
    assert all(not holders.pages for holders in host.holders.values())
    layer = host.layer
    assert all(layer.holders_of(refcount.value) == 0 for refcount in host.refcounts.values())


def test_the_first_base_of_v3_breaks_without_any_race() -> None:
    host = host_of("v3-base")
    assert do(host, "create 0") == [0]
    assert [refcount.value for refcount in host.refcounts.values()] == [1, 1]
    assert sum(len(holders.pages) for holders in host.holders.values()) == 7


def test_a_shared_page_is_not_mapped_and_a_private_one_again() -> None:
    host = host_of("merged")
    do(host, "create 0", "map 0 0", "convert 0 0")
    vm = host.vms[0]
    mapped = [spte.value for (level, _), spte in vm.sptes.items() if level == 0]
    assert mapped == [0], "zapped on its way to shared"
    do(host, "map 0 0")
    assert [spte.value for (level, _), spte in vm.sptes.items() if level == 0] == [0]
    do(host, "convert 0 0", "map 0 0")
    assert [spte.value for (level, _), spte in vm.sptes.items() if level == 0] == [2]


def test_a_vcpu_has_six_pages_and_goes_with_its_td() -> None:
    host = host_of("merged")
    do(host, "create 0")
    before = sum(len(holders.pages) for holders in host.holders.values())
    assert do(host, "vcpu 0", "vcpu 0") == [0, -EEXIST]
    assert sum(len(holders.pages) for holders in host.holders.values()) == before + 6
    assert host.module.tdr_at(host.vms[0].tdr).tdcs.num_assoc_vcpus == 1
    assert do(host, "destroy 0") == [0]
    assert host.pages.allocated == {}


@pytest.mark.parametrize("design", ["v6", "merged"])
def test_a_pair_is_there_exactly_while_its_range_is_held(design: str) -> None:
    host = host_of(design)
    do(host, "create 0")
    assert not has_pair(host, 0)
    do(host, "map 0 0")
    assert has_pair(host, 0)
    do(host, "create 1", "map 1 0", "zap 0 0")
    assert has_pair(host, 0)
    do(host, "zap 1 0")
    assert not has_pair(host, 0)


def test_operations_that_do_not_apply_end_at_once() -> None:
    host = host_of("merged")
    assert do(host, "map 0 0", "zap 0 0", "destroy 0") == [-ENOENT] * 3
    assert do(host, "create 0", "create 0") == [0, -EEXIST]
    before = host.sim.clock
    assert do(host, "zap 0 3") == [0], "nothing mapped: nothing to do"
    assert host.sim.clock - before < 10
    assert do(host, "map 0 3", "map 0 3") == [0, 0]


def test_a_destroyed_slot_serves_another_td() -> None:
    host = host_of("v6")
    assert do(host, "create 0", "map 0 0", "destroy 0", "create 0", "map 0 0") == [0] * 5


@pytest.mark.parametrize(
    "design", [name for name in DESIGNS if name not in (*BROKEN_ALONE, *LEAKS_HALF_A_PAIR)]
)
def test_when_memory_is_out_everything_is_undone(design: str) -> None:
    life = ("create 0", "vcpu 0", "map 0 0")
    clean = host_of(design)
    do(clean, *life)
    for index in range(clean.pages.count):
        host = host_of(design, faults=(Fault("alloc", index),))
        results = do(host, *life, "destroy 0")
        assert -ENOMEM in results, f"allocation {index}"
        assert list(used_pages(host.module)) == []
        assert len(host.pages.allocated) == kept(host, design), f"allocation {index}"


@pytest.mark.parametrize("design", LEAKS_HALF_A_PAIR)
def test_half_a_pair_is_lost_when_memory_runs_out_between_its_pages(design: str) -> None:
    host = host_of(design, faults=(Fault("alloc", 2),))
    assert do(host, "create 0") == [-ENOMEM]
    assert list(host.pages.allocated.values()) == ["PAMT page"]


def test_without_hkids_no_td_can_be_made() -> None:
    host = host_of("merged")
    while host.guest_keyids.free_ids:
        host.guest_keyids.alloc()
    assert do(host, "create 0") == [-ENOSPC]
    assert host.pages.allocated == {}


def test_the_modules_own_hkid_is_not_given_to_guests() -> None:
    host = host_of("merged")
    do(host, "create 0")
    assert host.vms[0].hkid == host.module.platform.global_hkid + 1


def test_without_dynamic_pamt_no_design_is_asked() -> None:
    host = host_of("merged", World(cpus=1, dynamic_pamt=False))
    assert do(host, "create 0", "map 0 0", "destroy 0") == [0, 0, 0]
    assert host.refcounts == {}
    assert host.pages.allocated == {}


def test_s_ept_pages_are_shared_by_the_slots_under_them() -> None:
    host = host_of("merged")
    do(host, "create 0", "map 0 0")
    linked = len(host.vms[0].sptes)
    do(host, "map 0 1")
    assert len(host.vms[0].sptes) == linked + 1, "the second page of a lowest table"
    do(host, "map 0 2")
    assert len(host.vms[0].sptes) == linked + 3, "another lowest table, and its page"
