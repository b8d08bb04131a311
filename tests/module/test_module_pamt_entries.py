"""PAMT entries: page counts and their hint, implicit access, and free 2MB ranges."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, LEVEL_4K, SIZE_1G
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.lock import EXCLUSIVE
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.tdmr import TdmrInfo

from .lab import BASE, DONORS, NEW, OUTSIDE, SEPT, TDR, Lab, page
from .states import nothing, paired


def test_page_types_have_the_numbers_of_the_module() -> None:
    numbers = {pt.name: pt.value for pt in PT}
    assert numbers == {
        "NDA": 0,
        "RSVD": 1,
        "REG": 3,
        "TDR": 4,
        "TDCX": 5,
        "TDVPR": 6,
        "EPT": 8,
        "PAMT": 15,
    }


def test_a_node_keeps_its_first_page_where_a_leaf_keeps_its_owner(lab: Lab) -> None:
    node = lab.node(0)
    node.owner = 0xABC7
    first, _ = lab.pair(0)
    assert node.owner == first >> 12 << 4 | 7
    assert node.owner_hpa == first << 4 | 7 << 12


def test_remove_leaves_the_owner_field_stale(lab: Lab) -> None:
    first, _ = lab.pair(0)
    lab.unpair(0)
    assert (lab.node(0).pt, lab.node(0).owner_hpa) == (PT.NDA, first << 4)


def test_counting_pages_up_and_down_hints_only_at_the_last(lab: Lab) -> None:
    lab.pair(0)
    pamt, node = lab.module.pamt, lab.node(0)
    walk = pamt.walk(page(0), lab.block, EXCLUSIVE)
    assert walk is not None
    for _ in range(3):
        pamt.count_up(walk)
    assert node.page_count.value == 3
    assert [pamt.count_down(node) for _ in range(3)] == [False, False, True]


def test_a_range_counts_512_pages_and_dies_at_the_513th(lab: Lab) -> None:
    lab.pair(0)
    walk = lab.module.pamt.walk(page(0), lab.block, EXCLUSIVE)
    assert walk is not None
    lab.node(0).page_count.value = 511
    lab.module.pamt.count_up(walk)
    with pytest.raises(ModuleFatal, match="fatal error 351"):
        lab.module.pamt.count_up(walk)


def test_a_page_count_below_zero_is_fatal(lab: Lab) -> None:
    lab.pair(0)
    with pytest.raises(ModuleFatal, match="fatal error 170"):
        lab.module.pamt.count_down(lab.node(0))


@pytest.mark.parametrize("pt", [PT.NDA, PT.REG])
def test_a_range_without_a_pair_is_not_counted(lab: Lab, pt: PT) -> None:
    node = lab.node(0)
    node.pt = pt
    assert not lab.module.pamt.count_down(node)
    assert not lab.module.pamt.count_down(None)
    assert node.page_count.value == 0


def test_static_pamt_counts_nothing() -> None:
    lab = Lab(dynamic=False)
    lab.td()
    assert [node.page_count.value for node in lab.module.pamt.nodes()] == [0]


@pytest.mark.parametrize(
    ("before", "hpa", "level", "fatal_id"),
    [
        pytest.param(nothing, OUTSIDE, LEVEL_4K, 109, id="no TDMR"),
        pytest.param(nothing, page(0), LEVEL_4K, 336, id="no pair"),
        pytest.param(paired, page(0), LEVEL_4K, 339, id="free page"),
        pytest.param(nothing, page(0), LEVEL_2M, 339, id="free 2MB range"),
        pytest.param(paired, page(0), LEVEL_2M, 340, id="2MB node"),
        pytest.param(nothing, page(0), LEVEL_1G, 339, id="free 1GB"),
    ],
)
def test_implicit_access_to_a_page_not_in_use_is_fatal(
    lab: Lab, before: Callable[[Lab], None], hpa: int, level: int, fatal_id: int
) -> None:
    before(lab)
    with pytest.raises(ModuleFatal) as caught:
        lab.module.pamt.implicit(hpa, level)
    assert caught.value.fatal_id == fatal_id


def test_implicit_access_takes_no_lock_and_is_one_step(lab: Lab) -> None:
    lab.td()
    before = lab.sim.clock
    entry, node = lab.module.pamt.implicit(TDR, LEVEL_4K)
    assert (entry, node) == (lab.entry(TDR), lab.node(8))
    assert lab.held() == {}
    assert lab.sim.clock == before + 1


def test_implicit_access_to_a_2mb_leaf_gives_its_entry(lab: Lab) -> None:
    lab.td().aug(page(0), level=1)
    assert lab.module.pamt.implicit(page(0), LEVEL_2M) == (lab.node(0), lab.node(0))


def test_a_static_page_that_is_reserved_is_not_in_use() -> None:
    lab = Lab(dynamic=False, tdmrs=[TdmrInfo(BASE, SIZE_1G, reserved=((page(0), 4096),))])
    assert lab.entry(page(0)).pt == PT.RSVD
    with pytest.raises(ModuleFatal, match="fatal error 339"):
        lab.module.pamt.implicit(page(0), LEVEL_4K)


@pytest.mark.parametrize("index", [0, 63, 64, 300, 511])
def test_a_range_that_hosts_a_backing_page_is_not_free(lab: Lab, index: int) -> None:
    pamt = lab.module.pamt
    assert pamt.is_2m_range_free(page(1), lab.block)
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=page(1, index), r8=page(2))
    assert not pamt.is_2m_range_free(page(1), lab.block)
    assert pamt.is_2m_range_free(page(3), lab.block)


@pytest.mark.parametrize("index", [0, 511])
def test_a_static_range_is_free_while_all_its_entries_are(index: int) -> None:
    lab = Lab(dynamic=False)
    assert lab.module.pamt.is_2m_range_free(page(0), lab.block)
    lab.entry(page(0, index)).pt = PT.REG
    assert not lab.module.pamt.is_2m_range_free(page(0), lab.block)


def test_the_type_of_a_page_can_be_looked_up_without_a_step(lab: Lab) -> None:
    lab.td()
    before = lab.sim.clock
    types = [lab.module.pamt.type_of(hpa) for hpa in (TDR, page(8, 1), page(8, 511), page(0))]
    assert types == [PT.TDR, PT.TDCX, PT.NDA, PT.NDA]
    assert lab.module.pamt.type_of(OUTSIDE) == PT.NDA
    assert lab.sim.clock == before


def test_the_type_of_a_static_page_is_in_its_own_entry() -> None:
    lab = Lab(dynamic=False)
    lab.td()
    types = [lab.module.pamt.type_of(hpa) for hpa in (TDR, page(8, 1), page(0), OUTSIDE)]
    assert types == [PT.TDR, PT.TDCX, PT.NDA, PT.NDA]


@pytest.mark.parametrize("dynamic", [True, False], ids=["dynamic", "static"])
def test_a_page_is_taken_while_the_module_uses_it_or_is_about_to(dynamic: bool) -> None:
    lab = Lab(dynamic=dynamic)
    td = lab.td()
    td.aug(page(4), level=1)
    before, pamt = lab.sim.clock, lab.module.pamt
    taken = [TDR, page(8, 1), SEPT, page(4), page(4, 511)]
    assert [pamt.is_taken(hpa) for hpa in taken] == [True] * 5
    assert [pamt.is_taken(hpa) for hpa in (NEW, page(0), OUTSIDE)] == [False] * 3
    assert pamt.is_taken(page(DONORS)) is dynamic, "a page of a pair"
    assert lab.sim.clock == before
    lab.entry(NEW).acquire_ex()
    assert pamt.is_taken(NEW)


def test_the_page_of_a_reserved_area_is_the_hosts() -> None:
    lab = Lab(dynamic=False, tdmrs=[TdmrInfo(BASE, SIZE_1G, reserved=((page(0), page(1)),))])
    assert lab.module.pamt.type_of(page(0, 5)) == PT.RSVD
    assert not lab.module.pamt.is_taken(page(0, 5))


def test_nodes_are_listed_by_address(lab: Lab) -> None:
    for index in (3, 1, 2):
        lab.node(index)
    assert [node.hpa for node in lab.module.pamt.nodes()] == [page(1), page(2), page(3)]
