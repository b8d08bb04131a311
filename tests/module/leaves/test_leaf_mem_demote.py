"""TDH.MEM.PAGE.DEMOTE: a 2MB page is split, and its range gets a pair."""

from __future__ import annotations

import pytest

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.lock import NamedHpLock
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.sept_state import SeptState

from ..lab import GPA, HINT, HKID_BIT, NEW, OUTSIDE, TDR, Lab, Stage, Td, page
from ..rows import Refusal, check_refused, refusals
from ..states import interrupt_pending, large_page, range_read, read

DEMOTE = "MEM.PAGE.DEMOTE"
D0, D1 = page(300), page(301)
OPERANDS = {"rcx": GPA | 1, "rdx": TDR, "r8": NEW, "r12": D0, "r13": D1}


def large_page_mapped(lab: Lab) -> None:
    lab.td(Stage.RUNNABLE).aug(page(0), level=1)


def large_page_blocked(lab: Lab) -> None:
    large_page_mapped(lab)
    lab.ok("MEM.RANGE.BLOCK", rcx=GPA | 1, rdx=TDR)


def tree_of(lab: Lab) -> NamedHpLock:
    return lab.module.tdr_at(TDR).tdcs.secure_ept_lock


def somebody_waits(lab: Lab) -> None:
    """Host priority is left on the tree by somebody who failed to get it."""
    tree = tree_of(lab)
    assert tree.acquire_sh()
    assert not tree.acquire_ex()


def donors_backing(lab: Lab) -> None:
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(1) | 1, rdx=D0, r8=D1)


def donor_range_held(lab: Lab) -> None:
    assert lab.node(300).acquire_ex()


demote = refusals(large_page, **OPERANDS)


DEMOTE_REFUSALS = [
    demote("TDR flags", "OPERAND_INVALID|RDX", rdx=TDR | 2),
    demote("not blocked", "GPA_RANGE_NOT_BLOCKED|RCX", large_page_mapped, r8=1),
    demote("not tracked", "TLB_TRACKING_NOT_DONE|RCX", large_page_blocked, r8=1),
    demote("table not aligned", "OPERAND_INVALID|R8", r8=NEW + 1, r12=1),
    demote("table in no TDMR", "OPERAND_ADDR_RANGE_ERROR|R8", r8=OUTSIDE, r12=1),
    demote("table unpaired", "MISSING_PAMT_PAGE_PAIR|R8", r8=page(2), r12=1),
    demote("table used", "PAGE_METADATA_INCORRECT|R8", r8=page(8, 1), r12=1),
    demote("table in the page itself", "PAGE_METADATA_INCORRECT|R8", r8=page(0, 1), r12=1),
    demote("table held", "OPERAND_BUSY|R8", large_page, read(NEW), r12=1),
    demote("2MB page held before pair", "OPERAND_BUSY|RCX", large_page, range_read, r12=1),
    demote("R12 not aligned", "OPERAND_INVALID|R12", r12=D0 + 1, r13=1),
    demote("R12 with HKID", "OPERAND_INVALID|R12", r12=D0 | HKID_BIT),
    demote("R13 not aligned", "OPERAND_INVALID|R13", r13=D1 + 1),
    demote("format of R13 before range of R12", "OPERAND_INVALID|R13", r12=OUTSIDE, r13=1),
    demote("R12 in no TDMR", "OPERAND_ADDR_RANGE_ERROR|R12", r12=OUTSIDE, r13=OUTSIDE),
    demote("R13 in no TDMR", "OPERAND_ADDR_RANGE_ERROR|R13", r13=OUTSIDE),
    demote("R12 in the page itself", "OPERAND_BUSY|R12", r12=page(0, 1)),
    demote("R13 in the page itself", "OPERAND_BUSY|R13", r13=page(0, 1)),
    demote("R12 is the new table", "OPERAND_BUSY|R12", r12=NEW),
    demote("R13 is the new table", "OPERAND_BUSY|R13", r13=NEW),
    demote("R12 used", "PAGE_NOT_FREE|R12", r12=page(8, 1)),
    demote("R12 used before R13 held", "PAGE_NOT_FREE|R12", r12=page(8, 1), r13=NEW),
    demote("R13 used", "PAGE_NOT_FREE|R13", r13=page(8, 1)),
    demote("range of R12 held", "OPERAND_BUSY|R12", large_page, donor_range_held),
    demote("R13 used before R12 backing", "PAGE_NOT_FREE|R13", large_page, donors_backing, r13=TDR),
    demote("R12 backing", "PAGE_NOT_FREE|R12", large_page, donors_backing),
    demote("R13 backing", "PAGE_NOT_FREE|R13", large_page, donors_backing, r12=page(302)),
    demote("the same page twice", "PAGE_NOT_FREE|R13", r13=D0),
]


@pytest.mark.parametrize("row", DEMOTE_REFUSALS, ids=str)
def test_demote_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    regs = check_refused(lab, DEMOTE, row).regs
    reported = row.status == "GPA_RANGE_NOT_BLOCKED|RCX"
    assert regs.rdx == (1 | SeptState.PENDING.public << 8 if reported else 0)
    assert (regs.r12, regs.r13) == (row.registers["r12"], row.registers["r13"])


INTERRUPTIONS = [
    demote(
        "interrupt before pair", "INTERRUPTED_RESTARTABLE", large_page, interrupt_pending, r12=1
    ),
    demote("old priority is wiped out", "OPERAND_INVALID|R12", large_page, somebody_waits, r12=1),
    demote("table before interrupt", "OPERAND_INVALID|R8", large_page, interrupt_pending, r8=1),
]


@pytest.mark.parametrize("row", INTERRUPTIONS, ids=str)
def test_an_interrupted_split_keeps_its_operands(lab: Lab, row: Refusal) -> None:
    regs = check_refused(lab, DEMOTE, row).regs
    kept = row.status.startswith("INTERRUPTED")
    assert (regs.rcx, regs.rdx) == ((GPA | 1, TDR) if kept else (0, 0))


def test_a_split_gives_the_range_a_pair_and_512_pages(td: Td) -> None:
    td.aug(page(0), level=1)
    lab, children, count = td.lab, td.structure.chldcnt.value, td.lab.node(8).page_count.value
    regs = lab.ok(DEMOTE, **OPERANDS)
    assert (regs.rcx, regs.rdx, regs.r8, regs.r12, regs.r13) == (0, 0, NEW, D0, D1)
    node = lab.node(0)
    assert (node.is_node, node.page_count.value) == (True, 512)
    assert [backing.hpa for backing in node.backing] == [D0, D1]
    assert [lab.entry(page(0, n)).pt for n in (0, 255, 256, 511)] == [PT.REG] * 4
    assert {lab.entry(page(0, n)).owner_hpa for n in (0, 511)} == {TDR}
    assert (lab.entry(NEW).pt, lab.entry(NEW).owner_hpa) == (PT.EPT, TDR)
    assert td.structure.chldcnt.value == children + 1
    assert lab.node(8).page_count.value == count + 1
    assert lab.held() == {}


def test_a_running_td_is_split_after_block_and_track_and_open_again(lab: Lab) -> None:
    large_page_blocked(lab)
    lab.ok("MEM.TRACK", rcx=TDR)
    lab.ok(DEMOTE, **OPERANDS)
    refused = lab.call("MEM.PAGE.REMOVE", rcx=GPA, rdx=TDR)
    assert refused.regs.rdx == SeptState.PENDING.public << 8


def test_pages_of_a_split_page_go_one_by_one_and_the_last_gives_the_hint(td: Td) -> None:
    td.aug(page(0), level=1)
    td.demote()
    hints = [td.remove(GPA + i * SIZE_4K).rcx for i in range(512)]
    assert hints == [*(page(0, i) for i in range(511)), page(0, 511) | HINT]
    assert td.lab.unpair(0).text == "SUCCESS"
