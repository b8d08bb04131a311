"""The two hooks of the PAMT: how another module might be, and what a 2MB page is split into."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, LEVEL_4K, SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.abi.registers import ADD_PAIR, RDMD_PAIR
from tdxfuzz.module.module import TdxModule
from tdxfuzz.module.pamt import PT, PamtPage
from tdxfuzz.module.split import ALL_INDICES, Split
from tdxfuzz.module.tdmr import TdmrInfo
from tdxfuzz.module.variants import VARIANTS
from tdxfuzz.sim import Simulator

from .lab import BASE, GPA, TDR, Lab, page

PAGES = {"one-page": 1, "1.5.25": 2, "four-pages": 4}
DONORS = {name: page(300 + i) for i, name in enumerate(ADD_PAIR)}
FEW = (0, 1, 256, 257)


def lab_of(variant: str) -> Lab:
    lab = Lab()
    lab.module = TdxModule(lab.sim, [TdmrInfo(BASE, SIZE_1G)], variant=VARIANTS[variant])
    lab.module.watch = lab.watch
    return lab


@pytest.mark.parametrize("variant", PAGES)
def test_as_many_pages_as_the_variant_says_come_and_go(variant: str) -> None:
    lab, count = lab_of(variant), PAGES[variant]
    donors = list(DONORS.values())[:count]
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(0) | 1, **DONORS)
    assert [backing.hpa for backing in lab.node(0).backing] == donors
    hosts = {f"hpa{i}": hex(hpa) for i, hpa in enumerate(donors)}
    assert lab.state()["ranges"] == [{"hpa": hex(page(0)), "pt": "PAMT", **hosts, "page_count": 0}]
    seen = lab.ok("PHYMEM.PAGE.RDMD", rcx=page(0) | 1).as_dict()
    assert [seen[name] for name in RDMD_PAIR] == donors + [0] * (4 - count)
    given = lab.ok("PHYMEM.PAMT.REMOVE", rcx=page(0) | 1).as_dict()
    assert [given[name] for name in ADD_PAIR] == donors + [0] * (4 - count)
    assert lab.state()["bitmap"] == []


def first_lock_of_add(variant: str) -> list[str]:
    lab = lab_of(variant)
    events = lab.record()
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(0) | 1, **DONORS)
    return [event for event in events if "PAMT_2M" in event][:2]


def test_the_order_of_locks_is_the_variants() -> None:
    target, donor = f"PAMT_2M[{page(0):#x}]", f"PAMT_2M[{page(300):#x}]"
    assert first_lock_of_add("1.5.25") == [f"acq SH {target}", f"promote EX {target}"]
    assert first_lock_of_add("donors-first")[0] == f"acq SH {donor}"
    assert first_lock_of_add("donors-ex") == first_lock_of_add("1.5.25")


def test_a_donor_is_held_as_the_variant_says() -> None:
    for variant, status in (("1.5.25", "SUCCESS"), ("donors-ex", "OPERAND_BUSY|RDX")):
        lab = lab_of(variant)
        assert lab.node(300).acquire_sh()
        assert lab.call("PHYMEM.PAMT.ADD", rcx=page(0) | 1, **DONORS).text == status


@pytest.mark.parametrize(("indices", "count"), [(ALL_INDICES, 512), (FEW, 4)])
def test_how_many_pages_there_are_at_a_level(indices: Sequence[int], count: int) -> None:
    split = Split(indices)
    levels = (LEVEL_4K, LEVEL_2M, LEVEL_1G)
    assert [split.pages_at(level) for level in levels] == [1, count, count**2]


def filled(split: Split, half: int) -> PamtPage:
    made = PamtPage(Simulator(1), page(300 + half))
    split.fill(made, page(0, 256 * half), PT.REG, TDR >> 12)
    return made


@pytest.mark.parametrize("half", [0, 1])
def test_a_split_page_uses_the_entries_it_is_split_into(half: int) -> None:
    few = [(entry.hpa, entry.owner_hpa) for entry in filled(Split(FEW), half).in_use()]
    assert few == [(page(0, 256 * half + i), TDR) for i in (0, 1)]
    assert len(list(filled(Split(), half).in_use())) == 256


def test_a_page_that_backs_a_free_range_has_no_entry_in_use() -> None:
    made = PamtPage(Simulator(1), page(300))
    Split(FEW).fill(made, page(0), PT.NDA, 0)
    assert made.is_free()


def test_a_table_maps_the_pages_one_behind_the_other() -> None:
    sim, first = Simulator(1), page(0) | 7
    whole = Split().table(sim, page(8), first, TDR, GPA)
    few = Split(FEW).table(sim, page(8), first, TDR, GPA)
    assert [whole.raw(i) for i in FEW] == [few.raw(i) for i in FEW]
    assert whole.raw(511) == first + SIZE_2M - SIZE_4K
    assert list(few.entries) == list(FEW)
    assert {entry.gpa - GPA for entry in few.entries.values()} == {i * SIZE_4K for i in FEW}
