"""The 4KB entries live inside the backing pages, and share their fate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.abi.address import pfn_of
from tdxfuzz.module.pamt import PT, PamtPage
from tdxfuzz.sim import Simulator

from .lab import NEW, TDR, Lab, page


@pytest.mark.parametrize(("index", "half"), [(0, 0), (255, 0), (256, 1), (511, 1)])
def test_each_backing_page_holds_the_entries_of_one_half(lab: Lab, index: int, half: int) -> None:
    lab.pair(0)
    entry = lab.entry(page(0, index))
    assert entry.hpa == page(0, index)
    assert entry in lab.node(0).backing[half].entries.values()
    assert lab.node(0).backing[1 - half].entries == {}


@given(index=st.integers(0, 511))
def test_an_entry_is_made_once_and_names_its_page(index: int) -> None:
    lab = Lab()
    lab.pair(0)
    hpa = page(0, index)
    assert lab.entry(hpa) is lab.entry(hpa)
    assert lab.entry(hpa).name == f"PAMT_4K[{hpa:#x}]"


def test_a_backing_page_is_the_memory_the_host_gave(lab: Lab) -> None:
    donors = lab.pair(0)
    assert tuple(backing.hpa for backing in lab.node(0).backing) == donors
    for hpa, backing in zip(donors, lab.node(0).backing, strict=True):
        assert lab.module.memory.at(hpa) is backing
        assert backing.owned


def test_overwriting_a_backing_page_wipes_out_the_entries_in_it(lab: Lab) -> None:
    lab.td()
    entry = lab.entry(TDR)
    assert (entry.pt, entry.acquire_ex()) == (PT.TDR, True)
    lab.module.memory.scrub(pfn_of(lab.node(8).backing[0].hpa))
    assert (entry.pt, entry.word, entry.owner) == (PT.NDA, 0, 0)


def test_overwriting_the_other_backing_page_leaves_them_alone(lab: Lab) -> None:
    lab.td()
    lab.module.memory.scrub(pfn_of(lab.node(8).backing[1].hpa))
    assert lab.entry(TDR).pt == PT.TDR


def test_remove_gives_the_pages_back_as_they_are(lab: Lab) -> None:
    donors = lab.pair(0)
    lab.entry(page(0, 3)).acquire_sh()
    backing = lab.node(0).backing[0]
    assert lab.unpair(0).text == "SUCCESS"
    assert not any(page.owned for page in lab.node(0).backing)
    assert all(lab.module.memory.is_dirty(pfn_of(hpa)) for hpa in donors)
    assert backing.entry(page(0, 3)).word == 4


def test_a_page_given_again_starts_with_entries_that_are_free(lab: Lab) -> None:
    first, second = lab.pair(0)
    stale = lab.entry(page(0, 3))
    stale.acquire_sh()
    lab.unpair(0)
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(1) | 1, rdx=second, r8=first)
    assert stale.word == 0
    assert lab.entry(page(1, 3)) is not stale
    assert [backing.hpa for backing in lab.node(1).backing] == [second, first]
    assert all(backing.owned for backing in lab.node(1).backing)


def test_a_page_that_held_something_else_becomes_a_backing_page(lab: Lab) -> None:
    td = lab.td()
    td.aug(NEW)
    td.remove()
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=NEW, r8=page(300))
    assert lab.node(0).backing[0] is lab.module.memory.at(NEW)


def backing_page(pt: PT = PT.NDA, owner: int = 0) -> PamtPage:
    made = PamtPage(Simulator(1), page(300))
    made.fill(page(0, 256), pt, owner)
    return made


def test_an_empty_page_has_no_entry_in_use() -> None:
    empty = backing_page()
    empty.entry(page(0, 300))
    assert empty.is_free()
    assert list(empty.in_use()) == []
    assert empty.peek(page(0, 300)) == PT.NDA


@pytest.mark.parametrize("index", [256, 400, 511])
def test_one_entry_in_use_makes_a_page_not_free(index: int) -> None:
    used = backing_page()
    used.entry(page(0, 500))
    used.entry(page(0, index)).pt = PT.TDCX
    assert not used.is_free()
    assert [(entry.hpa, entry.pt) for entry in used.in_use()] == [(page(0, index), PT.TDCX)]
    assert used.peek(page(0, index)) == PT.TDCX


def test_a_page_filled_by_a_split_has_all_256_entries_in_use() -> None:
    filled = backing_page(PT.REG, owner=TDR >> 12)
    assert not filled.is_free()
    assert filled.peek(page(0, 400)) == PT.REG
    entries = list(filled.in_use())
    assert [entry.hpa for entry in entries] == [page(0, i) for i in range(256, 512)]
    assert {(entry.pt, entry.owner_hpa) for entry in entries} == {(PT.REG, TDR)}


def test_a_filled_page_is_free_only_when_every_entry_has_been_freed() -> None:
    filled = backing_page(PT.REG)
    for i in range(256, 511):
        filled.entry(page(0, i)).pt = PT.NDA
    assert not filled.is_free()
    filled.entry(page(0, 511)).pt = PT.NDA
    assert filled.is_free()


def test_zeroing_a_filled_page_frees_entries_never_touched_too() -> None:
    filled = backing_page(PT.REG, owner=5)
    filled.zero()
    assert filled.is_free()
    assert (filled.entry(page(0, 300)).pt, filled.entry(page(0, 300)).owner) == (PT.NDA, 0)


def test_filling_again_moves_the_page_to_another_range() -> None:
    filled = backing_page()
    filled.entry(page(0, 300)).bepoch = 9
    filled.fill(page(2), PT.NDA, 0)
    assert filled.entry(page(2, 44)).hpa == page(2, 44)
    assert filled.entry(page(2, 44)).bepoch == 0


def test_the_second_half_of_a_static_range_has_entries_of_its_own() -> None:
    lab = Lab(dynamic=False)
    entries = [lab.entry(page(0, i)) for i in (0, 255, 256, 511)]
    assert [entry.hpa for entry in entries] == [page(0, i) for i in (0, 255, 256, 511)]
    assert list(lab.module.pamt.static_entries()) == entries
