"""KVM's paths, alone on one CPU, under every design."""

from __future__ import annotations

import pytest

from tdxfuzz.check.run import Session
from tdxfuzz.host import operations
from tdxfuzz.host.case import Case, Op, World
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.host import Host
from tdxfuzz.host.kernel.errno import EEXIST, ENOENT, ENOMEM, ENOSPC
from tdxfuzz.module.snapshot import used_pages
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


@pytest.mark.parametrize("design", DESIGNS)
def test_a_td_comes_and_goes_and_leaves_nothing_behind(design: str) -> None:
    host = host_of(design)
    assert do(host, "create 0", "map 0 0", "map 0 1", "zap 0 0", "map 0 2", "destroy 0") == [0] * 6
    assert list(used_pages(host.module)) == []
    idle_pairs = 0 if design != "hint" else pairs(host)
    assert len(host.pages.allocated) == 2 * idle_pairs
    assert all(not holders.pages for holders in host.holders.values())
    assert all(refcount.value == 0 for refcount in host.refcounts.values())


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


@pytest.mark.parametrize("design", DESIGNS)
def test_when_memory_is_out_everything_is_undone(design: str) -> None:
    clean = host_of(design)
    do(clean, "create 0", "map 0 0")
    for index in range(clean.pages.count):
        host = host_of(design, faults=(Fault("alloc", index),))
        results = do(host, "create 0", "map 0 0", "destroy 0")
        assert -ENOMEM in results, f"allocation {index}"
        assert list(used_pages(host.module)) == []
        idle = pairs(host) if design == "hint" else 0
        assert len(host.pages.allocated) == 2 * idle, f"allocation {index}"


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
