"""TDH.PHYMEM.PAGE.RDMD and WBINVD: pages looked at, not touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.abi.address import SIZE_1G
from tdxfuzz.module.tdmr import TdmrInfo

from ..lab import BASE, GPA, HKID_BIT, NEW, OUTSIDE, SEPT, TDR, TDVPR, Lab, Stage, page
from ..rows import Refusal, check_refused
from ..states import large_page, nothing, paired

RDMD, WBINVD = "PHYMEM.PAGE.RDMD", "PHYMEM.PAGE.WBINVD"
NON_LEAF = 1 << 63
NDA, REG, PT_TDR, TDCX, PT_TDVPR, EPT, PAMT = 0, 3, 4, 5, 6, 8, 15
DIRTY = {"rdx": 2, "r8": 8, "r9": 9, "r10": 10, "r11": 11, "r12": 12}
"""Register contents that RDMD has to overwrite, but for R12."""


def with_page(lab: Lab) -> None:
    td = lab.td(Stage.VCPU)
    td.tables()
    td.aug(NEW)


def page_blocked(lab: Lab) -> None:
    with_page(lab)
    lab.ok("MEM.TRACK", rcx=TDR)
    lab.ok("MEM.RANGE.BLOCK", rcx=GPA, rdx=TDR)


def freed(lab: Lab) -> None:
    page_blocked(lab)
    lab.ok("MEM.TRACK", rcx=TDR)
    lab.ok("MEM.PAGE.REMOVE", rcx=GPA, rdx=TDR)


D0, D1 = page(256), page(256, 1)


@pytest.mark.parametrize(
    ("before", "operand", "expected"),
    [
        pytest.param(paired, page(0, 9), {}, id="free page"),
        pytest.param(nothing, page(0, 9), {"r8": 1}, id="page of an unpaired range"),
        pytest.param(nothing, page(0) | 1, {"r8": 1}, id="unpaired range"),
        pytest.param(nothing, BASE | 2, {"r8": 2}, id="gigabyte"),
        pytest.param(with_page, TDR, {"rcx": PT_TDR}, id="TDR has no owner"),
        pytest.param(with_page, page(8, 1), {"rcx": TDCX, "rdx": TDR}, id="TDCX"),
        pytest.param(with_page, TDVPR, {"rcx": PT_TDVPR, "rdx": TDR}, id="TDVPR"),
        pytest.param(with_page, SEPT, {"rcx": EPT, "rdx": TDR}, id="S-EPT page"),
        pytest.param(with_page, NEW, {"rcx": REG, "rdx": TDR}, id="guest page"),
        pytest.param(page_blocked, NEW, {"rcx": REG, "rdx": TDR, "r9": 2}, id="with its epoch"),
        pytest.param(freed, NEW, {"rdx": TDR}, id="freed: the owner is stale, the epoch gone"),
        pytest.param(large_page, page(0, 9), {"rcx": REG, "rdx": TDR, "r8": 1}, id="in a 2MB page"),
        pytest.param(large_page, page(0) | 1, {"rcx": REG, "rdx": TDR, "r8": 1}, id="2MB page"),
        pytest.param(
            paired,
            page(0) | 1,
            {"rcx": PAMT | NON_LEAF, "r8": 1, "r10": D0, "r11": D1},
            id="range with a pair",
        ),
        pytest.param(paired, D0, {"rcx": PAMT}, id="backing page"),
        pytest.param(paired, D0 | 1, {"r8": 1}, id="range that begins with one"),
    ],
)
def test_it_reads_what_the_entry_says(
    lab: Lab, before: Callable[[Lab], None], operand: int, expected: dict[str, int]
) -> None:
    before(lab)
    state = lab.state()
    regs = lab.ok(RDMD, rcx=operand, **DIRTY).as_dict()
    assert {name: value for name, value in regs.items() if value} == {**expected, "r12": 12}
    assert (lab.state(), lab.held()) == (state, {})


def test_a_reserved_page_looks_like_a_backing_page() -> None:
    lab = Lab(tdmrs=[TdmrInfo(BASE, SIZE_1G, reserved=((page(1), 4096),))])
    assert lab.ok(RDMD, rcx=page(1)).rcx == PAMT
    assert lab.ok(RDMD, rcx=page(1, 1)).rcx == NDA


def test_a_backing_page_in_a_paired_range_hides_its_stale_owner(lab: Lab) -> None:
    freed(lab)
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=NEW, r8=page(300))
    regs = lab.ok(RDMD, rcx=NEW)
    assert (regs.rcx, regs.rdx, regs.r8) == (PAMT, 0, 0)


def held_exclusive(lab: Lab) -> None:
    with_page(lab)
    assert lab.entry(TDR).acquire_ex()


def range_held(lab: Lab) -> None:
    with_page(lab)
    assert lab.node(8).acquire_ex()


READ_REFUSALS = [
    Refusal("level 3", {"rcx": BASE | 3}, "OPERAND_INVALID|RCX"),
    Refusal("bit 3", {"rcx": page(0) | 8}, "OPERAND_INVALID|RCX"),
    Refusal("bit 11", {"rcx": page(0) | 1 << 11}, "OPERAND_INVALID|RCX"),
    Refusal("bit 52", {"rcx": page(0) | 1 << 52}, "OPERAND_INVALID|RCX"),
    Refusal("not 2MB aligned", {"rcx": page(0, 1) | 1}, "OPERAND_INVALID|RCX"),
    Refusal("not 1GB aligned", {"rcx": page(1) | 2}, "OPERAND_INVALID|RCX"),
    Refusal("HKID", {"rcx": page(0) | HKID_BIT}, "OPERAND_INVALID|RCX"),
    Refusal("above MAXPA", {"rcx": 1 << 46}, "OPERAND_ADDR_RANGE_ERROR|RCX"),
    Refusal("no TDMR", {"rcx": OUTSIDE}, "OPERAND_ADDR_RANGE_ERROR|RCX"),
    Refusal("page held", {"rcx": TDR}, "OPERAND_BUSY|RCX", held_exclusive),
    Refusal("range held", {"rcx": TDR}, "OPERAND_BUSY|RCX", range_held),
]


@pytest.mark.parametrize("row", READ_REFUSALS, ids=str)
def test_a_refused_read_zeroes_all_its_outputs(lab: Lab, row: Refusal) -> None:
    row = Refusal(row.name, {**row.registers, **DIRTY}, row.status, row.before)
    regs = check_refused(lab, RDMD, row).regs.as_dict()
    assert {name: value for name, value in regs.items() if value} == {"r12": 12}


def test_a_held_page_does_not_keep_its_range_from_being_read(lab: Lab) -> None:
    held_exclusive(lab)
    assert lab.call(RDMD, rcx=page(8) | 1).text == "SUCCESS"


@pytest.mark.parametrize(("level", "status"), [(0, "SUCCESS"), (1, "OPERAND_INVALID|RCX")])
def test_static_pamt_can_be_read_at_4kb_only(level: int, status: str) -> None:
    lab = Lab(dynamic=False)
    lab.td()
    result = lab.call(RDMD, rcx=TDR | level)
    assert (result.text, result.regs.rcx) == (status, 0 if level else PT_TDR)


def test_static_pamt_shows_reserved_pages_as_such() -> None:
    lab = Lab(dynamic=False, tdmrs=[TdmrInfo(BASE, SIZE_1G, reserved=((page(1), 4096),))])
    assert lab.ok(RDMD, rcx=page(1)).rcx == 1


FLUSH_REFUSALS = [
    Refusal("not aligned", {"rcx": NEW + 1}, "OPERAND_INVALID|RCX"),
    Refusal("bit 52", {"rcx": NEW | 1 << 52}, "OPERAND_INVALID|RCX"),
    Refusal("no TDMR", {"rcx": OUTSIDE}, "OPERAND_ADDR_RANGE_ERROR|RCX"),
    Refusal("busy before used", {"rcx": TDR}, "OPERAND_BUSY|RCX", held_exclusive),
    Refusal("guest page", {"rcx": NEW}, "PAGE_METADATA_INCORRECT|RCX", with_page),
    Refusal("in a 2MB page", {"rcx": page(0, 7)}, "PAGE_METADATA_INCORRECT|RCX", large_page),
    Refusal("backing page", {"rcx": D0}, "PAGE_METADATA_INCORRECT|RCX", paired),
]


@pytest.mark.parametrize("row", FLUSH_REFUSALS, ids=str)
def test_only_a_free_page_can_be_written_back(lab: Lab, row: Refusal) -> None:
    assert check_refused(lab, WBINVD, row).regs.rcx == row.registers["rcx"]


@pytest.mark.parametrize("hkid", [0, 40, 63])
@pytest.mark.parametrize("before", [nothing, paired])
def test_a_free_page_is_written_back_with_any_hkid(
    lab: Lab, before: Callable[[Lab], None], hkid: int
) -> None:
    before(lab)
    operand = page(0, 9) | hkid << 40
    assert lab.ok(WBINVD, rcx=operand).rcx == operand
    assert lab.held() == {}
