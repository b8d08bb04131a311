"""TDH.MEM.PAGE.PROMOTE: 512 4KB pages are merged, and their range loses its pair."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.pamt import PT

from ..lab import GPA, HINT, NEW, SEPT, TDR, Lab, Stage, Td, page
from ..rows import Refusal, check_refused, refusals
from ..states import interrupt_pending, range_read, read, then, written

PROMOTE = "MEM.PAGE.PROMOTE"
TABLE = SEPT + 2 * SIZE_4K
ALL_ONES = (1 << 64) - 1


def split(lab: Lab) -> None:
    td = lab.td()
    td.aug(page(0), level=1)
    td.demote()


def split_and_one_gone(lab: Lab) -> None:
    split(lab)
    lab.ok("MEM.PAGE.REMOVE", rcx=GPA + 9 * SIZE_4K, rdx=TDR)


def split_and_one_moved(lab: Lab) -> None:
    split(lab)
    lab.ok("MEM.PAGE.RELOCATE", rcx=GPA + 9 * SIZE_4K, rdx=TDR, r8=NEW)


def split_and_one_blocked(lab: Lab) -> None:
    split(lab)
    lab.ok("MEM.RANGE.BLOCK", rcx=GPA, rdx=TDR)


def split_and_running(lab: Lab) -> None:
    td = lab.td(Stage.VCPU)
    td.aug(page(0), level=1)
    td.demote()
    lab.ok("MR.FINALIZE", rcx=TDR)


def split_and_blocked(lab: Lab) -> None:
    split_and_running(lab)
    lab.ok("MEM.RANGE.BLOCK", rcx=GPA | 1, rdx=TDR)


promote = refusals(rcx=GPA | 1, rdx=TDR)


CONDITIONS = "EPT_INVALID_PROMOTE_CONDITIONS|RCX"
PROMOTE_REFUSALS = [
    promote("table held before tracking", "OPERAND_BUSY|RCX", split_and_running, read(TABLE)),
    promote("not blocked", "GPA_RANGE_NOT_BLOCKED|RCX", split_and_running),
    promote("not tracked", "TLB_TRACKING_NOT_DONE|RCX", split_and_blocked),
    promote("one page missing", CONDITIONS, split_and_one_gone),
    promote("one page elsewhere", CONDITIONS, split_and_one_moved),
    promote("first page blocked", CONDITIONS, split_and_one_blocked),
    promote("to 1GB", CONDITIONS, split, rcx=GPA | 2),
    promote("conditions before interrupt", CONDITIONS, split_and_one_gone, interrupt_pending),
    promote("2MB entry held", "OPERAND_BUSY|RCX", split, range_read),
]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("row", PROMOTE_REFUSALS, ids=str)
def test_promote_is_refused_in_this_order(lab: Lab, row: Refusal, version: int) -> None:
    regs = check_refused(lab, PROMOTE, evolve(row, version=version)).regs
    wanted = ALL_ONES if version else 0
    assert (regs.r9, regs.r10, regs.r11, regs.r12) == (wanted, wanted, wanted, 0)


def test_an_interrupted_merge_keeps_its_operands(lab: Lab) -> None:
    row = promote("", "INTERRUPTED_RESTARTABLE", split, interrupt_pending, range_read)
    regs = check_refused(lab, PROMOTE, row).regs
    assert (regs.rcx, regs.rdx) == (GPA | 1, TDR)


def test_a_merge_is_the_reverse_of_a_split(td: Td) -> None:
    td.aug(page(0), level=1)
    before = td.lab.state()
    pair = td.demote()
    regs = td.lab.ok(PROMOTE, rcx=GPA | 1, rdx=TDR)
    assert (regs.rcx, regs.rdx) == (TABLE, 0)
    assert (regs.r12, regs.r13) == pair
    assert td.lab.state() == before
    assert td.lab.held() == {}
    assert td.lab.watch.told == [("page_gone", TABLE)]


def test_a_merge_gives_the_hint_for_the_range_of_the_table(td: Td) -> None:
    td.aug(page(0), level=1)
    td.lab.pair(2)
    donors = {"r12": page(300), "r13": page(301)}
    td.lab.ok("MEM.PAGE.DEMOTE", rcx=GPA | 1, rdx=TDR, r8=page(2, 7), **donors)
    regs = td.lab.ok(PROMOTE, 0, 1, rcx=GPA | 1, rdx=TDR)
    assert regs.rcx == page(2, 7) | HINT
    assert regs.r9 == ALL_ONES


@pytest.mark.parametrize(("shift", "status"), [(0, "SUCCESS"), (1, CONDITIONS), (512, "SUCCESS")])
def test_pages_in_a_row_can_be_merged_if_they_start_at_a_range(
    td: Td, shift: int, status: str
) -> None:
    td.lab.pair(0)
    td.lab.pair(1)
    for i in range(512):
        td.aug(page(0) + (i + shift) * SIZE_4K, GPA + i * SIZE_4K)
    assert td.lab.call(PROMOTE, rcx=GPA | 1, rdx=TDR).text == status


def test_without_dynamic_pamt_a_split_and_merge_take_no_pair() -> None:
    lab = Lab(dynamic=False)
    td = lab.td()
    td.aug(page(0), level=1)
    td.demote()
    assert lab.node(0).pt == PT.NDA
    assert {lab.entry(page(0, n)).pt for n in range(512)} == {PT.REG}
    regs = lab.ok(PROMOTE, rcx=GPA | 1, rdx=TDR, r12=12, r13=13)
    assert (regs.rcx, regs.r12, regs.r13) == (TABLE, 12, 13)
    assert {lab.entry(page(0, n)).pt for n in range(512)} == {PT.NDA}
    assert (lab.node(0).pt, lab.node(0).owner_hpa) == (PT.REG, TDR)


def test_a_merge_gives_the_backing_pages_up(td: Td) -> None:
    td.aug(page(0), level=1)
    td.demote()
    backing = td.lab.node(0).backing
    assert [page.owned for page in backing] == [True, True]
    td.lab.ok(PROMOTE, rcx=GPA | 1, rdx=TDR)
    assert [page.owned for page in backing] == [False, False]


@pytest.mark.parametrize(("dynamic", "bepoch"), [(True, 0), (False, 5)])
def test_a_merge_forgets_the_epoch_only_with_dynamic_pamt(dynamic: bool, bepoch: int) -> None:
    lab = Lab(dynamic=dynamic)
    split(lab)
    lab.node(0).bepoch = 5
    lab.ok(PROMOTE, rcx=GPA | 1, rdx=TDR)
    assert lab.node(0).bepoch == bepoch


@pytest.mark.parametrize(("dynamic", "fatal_id"), [(True, 217), (False, 223)])
def test_a_merge_in_a_range_that_is_no_node_is_fatal(dynamic: bool, fatal_id: int) -> None:
    lab = Lab(dynamic=dynamic)
    split(lab)
    lab.node(0).pt = PT.REG
    assert lab.call(PROMOTE, rcx=GPA | 1, rdx=TDR).text == "SEAMCALL_VMFAILINVALID"
    assert lab.watch.told == [("fatal", fatal_id)]


def test_a_merge_that_was_busy_can_be_tried_again(lab: Lab) -> None:
    then(split, written(TABLE))(lab)
    assert lab.call(PROMOTE, rcx=GPA | 1, rdx=TDR).text == "OPERAND_BUSY|RCX"
    lab.entry(TABLE).release_ex()
    assert lab.call(PROMOTE, rcx=GPA | 1, rdx=TDR).text == "SUCCESS"
