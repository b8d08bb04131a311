"""A module without dynamic PAMT: the same leaves, and no page pairs anywhere."""

from __future__ import annotations

import pytest

from tdxfuzz.abi.address import SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.tdmr import TdmrInfo

from .lab import BASE, GPA, NEW, TDR, Lab, Stage, page


@pytest.fixture
def static() -> Lab:
    return Lab(dynamic=False)


@pytest.mark.parametrize("leaf", ["PHYMEM.PAMT.ADD", "PHYMEM.PAMT.REMOVE"])
def test_pairs_can_be_neither_added_nor_removed(static: Lab, leaf: str) -> None:
    result = static.call(leaf, rcx=page(0) | 1, rdx=page(300), r8=page(301))
    assert result.text == "OPERAND_INVALID|RAX"
    assert static.sim.clock == 0


def test_a_page_needs_no_pair(static: Lab) -> None:
    assert static.call("MNG.CREATE", rcx=TDR, rdx=40).text == "SUCCESS"


def test_a_reserved_page_is_marked_in_its_own_entry() -> None:
    lab = Lab(dynamic=False, tdmrs=[TdmrInfo(BASE, SIZE_1G, reserved=((page(1), SIZE_4K),))])
    assert lab.call("MNG.CREATE", rcx=page(1), rdx=40).text == "PAGE_METADATA_INCORRECT|RCX"
    assert lab.call("PHYMEM.PAGE.RECLAIM", rcx=page(1)).text == "PAGE_METADATA_INCORRECT|RCX"
    assert lab.call("PHYMEM.PAGE.WBINVD", rcx=page(1)).text == "PAGE_METADATA_INCORRECT|RCX"
    assert lab.call("PHYMEM.PAGE.WBINVD", rcx=page(1, 1)).text == "SUCCESS"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param(0, "SUCCESS", id="free"),
        pytest.param(1, "PAGE_METADATA_INCORRECT|R8", id="one page reserved"),
        pytest.param(2, "PAGE_METADATA_INCORRECT|R8", id="one page in use"),
    ],
)
def test_a_large_page_needs_a_range_for_itself(target: int, status: str) -> None:
    lab = Lab(dynamic=False, tdmrs=[TdmrInfo(BASE, SIZE_1G, reserved=((page(1, 511), SIZE_4K),))])
    td = lab.td()
    td.aug(page(2, 9), GPA + SIZE_2M)
    result = lab.call("MEM.PAGE.AUG", rcx=GPA | 1, rdx=TDR, r8=page(target))
    assert (result.text, lab.held()) == (status, {})


def test_a_small_page_cannot_go_into_a_large_one(static: Lab) -> None:
    static.td().aug(page(0), level=1)
    result = static.call("MNG.CREATE", rcx=page(0, 3), rdx=41)
    assert result.text == "PAGE_METADATA_INCORRECT|RCX"


def test_no_freeing_call_hints_at_anything(static: Lab) -> None:
    td = static.td()
    td.aug(NEW)
    td.tables(GPA + SIZE_1G)
    freed = [td.remove().rcx]
    freed.append(static.ok("MEM.SEPT.REMOVE", rcx=GPA | 1, rdx=TDR).rcx)
    td.teardown()
    freed.append(static.ok("PHYMEM.PAGE.RECLAIM", rcx=page(8, 1)).r9)
    assert freed == [NEW, page(8, 18), 0]


def test_a_td_lives_and_dies_without_pairs(static: Lab) -> None:
    td = static.td(Stage.RUNNABLE)
    td.aug(NEW)
    td.teardown()
    used = [entry.hpa for entry in static.module.pamt.static_entries() if entry.pt != PT.NDA]
    for hpa in used:
        if hpa != TDR:
            static.ok("PHYMEM.PAGE.RECLAIM", rcx=hpa)
    static.ok("PHYMEM.PAGE.RECLAIM", rcx=TDR)
    assert [e.hpa for e in static.module.pamt.static_entries() if e.pt != PT.NDA] == []
    assert static.held() == {}
    assert static.state()["kot"] == {}


def test_a_page_given_back_is_no_matter_without_backing_pages(static: Lab) -> None:
    td = static.td()
    td.aug(NEW)
    td.remove()
    assert static.watch.told == []


def test_implicit_pages_are_found_without_a_pair(static: Lab) -> None:
    td = static.td()
    td.aug(NEW)
    assert static.call("MEM.RANGE.BLOCK", rcx=GPA, rdx=TDR).text == "SUCCESS"
    assert static.entry(NEW).bepoch == 1
