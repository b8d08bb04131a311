"""TDH.PHYMEM.PAGE.RECLAIM: the pages of a TD in teardown, one by one."""

from __future__ import annotations

import pytest

from tdxfuzz.abi.address import SIZE_4K

from ..lab import GPA, HINT, HKID_BIT, NEW, OUTSIDE, SEPT, TDR, TDVPR, Lab, Stage, Td, page
from ..rows import Refusal, check_refused

RECLAIM = "PHYMEM.PAGE.RECLAIM"
REG, PT_TDR, TDCX, PT_TDVPR, EPT = 3, 4, 5, 6, 8


def live(lab: Lab) -> Td:
    td = lab.td(Stage.VCPU)
    td.tables()
    td.aug(NEW)
    return td


def with_page_torn_down(lab: Lab) -> Td:
    td = live(lab)
    td.teardown()
    return td


def live_2m(lab: Lab) -> Td:
    td = lab.td()
    td.aug(page(1), level=1)
    return td


def torn_down_2m(lab: Lab) -> Td:
    td = live_2m(lab)
    td.teardown()
    return td


def torn_down_and_read(lab: Lab) -> None:
    with_page_torn_down(lab)
    assert lab.entry(NEW).acquire_sh()


def tdr_held(lab: Lab) -> None:
    with_page_torn_down(lab)
    assert lab.entry(TDR).acquire_ex()


def live_tdr_held(lab: Lab) -> None:
    live(lab)
    assert lab.entry(TDR).acquire_ex()


REFUSALS = [
    Refusal("not aligned", {"rcx": NEW + 1}, "OPERAND_INVALID|RCX"),
    Refusal("HKID", {"rcx": NEW | HKID_BIT}, "OPERAND_INVALID|RCX"),
    Refusal("2^52", {"rcx": 1 << 52}, "OPERAND_INVALID|RCX"),
    Refusal("no TDMR", {"rcx": OUTSIDE}, "OPERAND_ADDR_RANGE_ERROR|RCX"),
    Refusal("page held", {"rcx": NEW}, "OPERAND_BUSY|RCX", torn_down_and_read),
    Refusal("unpaired", {"rcx": page(0)}, "PAGE_METADATA_INCORRECT|RCX"),
    Refusal("free page", {"rcx": page(8, 400)}, "PAGE_METADATA_INCORRECT|RCX", with_page_torn_down),
]


@pytest.mark.parametrize("row", REFUSALS, ids=str)
def test_a_refusal_before_the_page_is_known_zeroes_all_outputs(lab: Lab, row: Refusal) -> None:
    dirty = {"rdx": 2, "r8": 8, "r9": 9, "r10": 10, "r11": 11}
    row = Refusal(row.name, {**row.registers, **dirty}, row.status, row.before)
    regs = check_refused(lab, RECLAIM, row).regs.as_dict()
    assert not any(regs.values())


LATE_REFUSALS = [
    Refusal("guest page of a live TD", {"rcx": NEW}, "LIFECYCLE_STATE_INCORRECT", live),
    Refusal("TDR of a live TD", {"rcx": TDR}, "LIFECYCLE_STATE_INCORRECT", live),
    Refusal("TDR with children", {"rcx": TDR}, "TD_ASSOCIATED_PAGES_EXIST", with_page_torn_down),
    Refusal("TDR held", {"rcx": NEW}, "OPERAND_BUSY|TDR", tdr_held),
    Refusal("busy before lifecycle", {"rcx": NEW}, "OPERAND_BUSY|TDR", live_tdr_held),
    Refusal("inside a 2MB page", {"rcx": page(1, 7)}, "OPERAND_INVALID|RCX", torn_down_2m),
    Refusal("alignment before lifecycle", {"rcx": page(1, 7)}, "OPERAND_INVALID|RCX", live_2m),
]


@pytest.mark.parametrize("row", LATE_REFUSALS, ids=str)
def test_a_refusal_after_the_page_is_known_says_what_it_is(lab: Lab, row: Refusal) -> None:
    regs = check_refused(lab, RECLAIM, row).regs
    known = {TDR: (PT_TDR, 0, 0), NEW: (REG, TDR, 0), page(1, 7): (REG, TDR, 1)}
    assert (regs.rcx, regs.rdx, regs.r8) == known[row.registers["rcx"]]
    assert regs.r9 == 0


@pytest.mark.parametrize(
    ("hpa", "pt"), [(NEW, REG), (page(8, 1), TDCX), (TDVPR, PT_TDVPR), (SEPT, EPT)]
)
def test_reclaiming_a_page_gives_type_owner_and_size(lab: Lab, hpa: int, pt: int) -> None:
    td = with_page_torn_down(lab)
    children, count = td.structure.chldcnt.value, lab.node(8).page_count.value
    regs = lab.ok(RECLAIM, rcx=hpa)
    assert (regs.rcx, regs.rdx, regs.r8, regs.r9) == (pt, TDR, 0, 0)
    assert td.structure.chldcnt.value == children - 1
    assert lab.node(8).page_count.value == count - 1
    assert lab.entry(hpa).pt == 0
    assert lab.watch.told == [("page_gone", hpa)]


def test_reclaiming_a_2mb_page_frees_512_children_and_gives_no_hint(lab: Lab) -> None:
    td = torn_down_2m(lab)
    children = td.structure.chldcnt.value
    regs = lab.ok(RECLAIM, rcx=page(1))
    assert (regs.rcx, regs.rdx, regs.r8, regs.r9) == (REG, TDR, 1, 0)
    assert td.structure.chldcnt.value == children - 512
    assert lab.node(1).pt == 0


def test_the_last_page_of_a_range_gives_the_hint_in_r9(lab: Lab) -> None:
    td = lab.td()
    lab.pair(0)
    for n in range(3):
        td.aug(page(0, n), GPA + n * SIZE_4K)
    td.teardown()
    hints = [lab.ok(RECLAIM, rcx=page(0, n)).r9 for n in (1, 0, 2)]
    assert hints == [0, 0, HINT]
    assert lab.unpair(0).text == "SUCCESS"


def test_the_tdr_goes_last_and_gives_the_hint_for_its_range(lab: Lab) -> None:
    td = with_page_torn_down(lab)
    state = lab.state()["pages"]
    assert isinstance(state, list)
    pages = [int(first, 16) + i * SIZE_4K for first, n, _, _ in state for i in range(n)]
    hints = [lab.ok(RECLAIM, rcx=hpa).r9 for hpa in pages if hpa != TDR]
    assert not any(hints)
    assert td.structure.chldcnt.value == 0
    regs = lab.ok(RECLAIM, rcx=TDR)
    assert (regs.rcx, regs.rdx, regs.r8, regs.r9) == (PT_TDR, 0, 0, HINT)
    assert lab.state()["tds"] == {}


def test_a_page_can_be_reclaimed_only_once(lab: Lab) -> None:
    with_page_torn_down(lab)
    lab.ok(RECLAIM, rcx=NEW)
    assert lab.call(RECLAIM, rcx=NEW).text == "PAGE_METADATA_INCORRECT|RCX"


def test_static_pamt_gives_no_hint() -> None:
    lab = Lab(dynamic=False)
    lab.td(Stage.CREATED).teardown()
    regs = lab.ok(RECLAIM, rcx=TDR)
    assert (regs.rcx, regs.r9) == (PT_TDR, 0)
