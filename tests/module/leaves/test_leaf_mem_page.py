"""TDH.MEM.PAGE.ADD, AUG, REMOVE, RELOCATE: guest pages come, move and go."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.abi.address import SIZE_2M, SIZE_4K
from tdxfuzz.module.errors import ModuleFatal
from tdxfuzz.module.pamt import PT

from ..lab import GPA, HINT, HKID_BIT, NEW, OUTSIDE, PARAMS, TDR, Lab, Stage, Td, page
from ..rows import Refusal, check_refused
from ..states import Before, range_read, read, tables, then, upper_tables

ADD, AUG = "MEM.PAGE.ADD", "MEM.PAGE.AUG"
REMOVE, RELOCATE = "MEM.PAGE.REMOVE", "MEM.PAGE.RELOCATE"
OLD = page(8, 300)


def with_page(lab: Lab) -> None:
    lab.td().aug(OLD)


def old_mapped(lab: Lab) -> None:
    lab.td(Stage.RUNNABLE).aug(OLD)


def old_blocked(lab: Lab) -> None:
    old_mapped(lab)
    lab.ok("MEM.RANGE.BLOCK", rcx=GPA, rdx=TDR)


def old_tracked(lab: Lab) -> None:
    old_blocked(lab)
    lab.ok("MEM.TRACK", rcx=TDR)


def paired_2m(lab: Lab) -> None:
    upper_tables(lab)
    lab.pair(0)


def hosting_2m(lab: Lab) -> None:
    upper_tables(lab)
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(1) | 1, rdx=page(0, 9), r8=page(300))


def backing(lab: Lab) -> None:
    """NEW, a page of a paired range, backs the PAMT of another range."""
    with_page(lab)
    lab.ok("PHYMEM.PAMT.ADD", rcx=page(1) | 1, rdx=NEW, r8=page(300))


PAGE_REFUSALS = [
    Refusal("not aligned", {"r8": NEW + 1}, "OPERAND_INVALID|R8", tables),
    Refusal("HKID", {"r8": NEW | HKID_BIT}, "OPERAND_INVALID|R8", tables),
    Refusal("no TDMR", {"r8": OUTSIDE}, "OPERAND_ADDR_RANGE_ERROR|R8", tables),
    Refusal("unpaired", {"r8": page(0)}, "MISSING_PAMT_PAGE_PAIR|R8", tables),
    Refusal("busy, not missing", {"r8": page(0)}, "OPERAND_BUSY|R8", then(tables, range_read)),
    Refusal("used", {"r8": page(8, 1)}, "PAGE_METADATA_INCORRECT|R8", tables),
    Refusal("held", {"r8": NEW}, "OPERAND_BUSY|R8", then(tables, read(NEW))),
    Refusal("the TDR itself", {"r8": TDR}, "OPERAND_BUSY|R8", tables),
]


@pytest.mark.parametrize("leaf", [ADD, AUG])
@pytest.mark.parametrize("refusal", PAGE_REFUSALS, ids=str)
def test_the_new_page_is_checked_last(lab: Lab, leaf: str, refusal: Refusal) -> None:
    operands = {"rcx": GPA, "rdx": TDR, **refusal.registers}
    regs = check_refused(lab, leaf, evolve(refusal, registers=operands)).regs
    assert (regs.rcx, regs.rdx, regs.r8) == (0, 0, operands["r8"])


@pytest.mark.parametrize("leaf", [ADD, AUG, RELOCATE])
def test_a_page_that_backs_pamt_is_not_free(lab: Lab, leaf: str) -> None:
    backing(lab)
    gpa = GPA if leaf == RELOCATE else GPA + SIZE_4K
    operands = {"rcx": gpa, "rdx": TDR, "r8": NEW}
    check_refused(lab, leaf, Refusal("", operands, "PAGE_METADATA_INCORRECT|R8"))


def of_leaf(leaf: str, name: str, status: str, before: Before, **operands: int) -> object:
    """A refusal of one leaf; RCX is the GPA unless it says otherwise."""
    refusal = Refusal(name, {"rcx": GPA, "rdx": TDR} | operands, status, before)
    return pytest.param(leaf, refusal, id=f"{leaf} {refusal}")


old_held = then(old_blocked, read(OLD))
STATE, INVALID_R8 = "EPT_ENTRY_STATE_INCORRECT|RCX", "OPERAND_INVALID|R8"
METADATA_R8, OPEN = "PAGE_METADATA_INCORRECT|R8", "GPA_RANGE_NOT_BLOCKED|RCX"
UNTRACKED, BUSY = "TLB_TRACKING_NOT_DONE|RCX", "OPERAND_BUSY|RCX"
OTHER_REFUSALS = [
    of_leaf(AUG, "entry in use before page", STATE, with_page, r8=1),
    of_leaf(AUG, "2MB page not aligned", INVALID_R8, upper_tables, rcx=GPA | 1, r8=NEW),
    of_leaf(AUG, "2MB page with a pair", METADATA_R8, paired_2m, rcx=GPA | 1, r8=page(0)),
    of_leaf(AUG, "2MB page hosts PAMT", METADATA_R8, hosting_2m, rcx=GPA | 1, r8=page(0)),
    of_leaf(ADD, "entry in use before source", STATE, with_page, r8=1, r9=1),
    of_leaf(ADD, "source before page", "OPERAND_INVALID|R9", tables, r8=1, r9=1),
    of_leaf(ADD, "source HKID", "OPERAND_INVALID|R9", tables, r8=1, r9=PARAMS | 32 << 40),
    of_leaf(REMOVE, "free entry", STATE, tables),
    of_leaf(REMOVE, "table", STATE, tables, rcx=GPA | 1),
    of_leaf(REMOVE, "page held before tracking", BUSY, old_held),
    of_leaf(REMOVE, "not blocked", OPEN, old_mapped),
    of_leaf(REMOVE, "not tracked", UNTRACKED, old_blocked),
    of_leaf(RELOCATE, "free entry", STATE, tables, r8=1),
    of_leaf(RELOCATE, "same page before lock", INVALID_R8, old_held, r8=OLD),
    of_leaf(RELOCATE, "old page held before tracking", BUSY, old_held, r8=1),
    of_leaf(RELOCATE, "not blocked", OPEN, old_mapped, r8=1),
    of_leaf(RELOCATE, "tracking before new page", UNTRACKED, old_blocked, r8=1),
    of_leaf(RELOCATE, "new page not aligned", INVALID_R8, old_tracked, r8=1),
    of_leaf(RELOCATE, "new page unpaired", "MISSING_PAMT_PAGE_PAIR|R8", old_tracked, r8=page(0)),
]


@pytest.mark.parametrize(("leaf", "refusal"), OTHER_REFUSALS)
def test_each_leaf_is_refused_in_this_order(lab: Lab, leaf: str, refusal: Refusal) -> None:
    check_refused(lab, leaf, refusal)


@pytest.mark.parametrize("leaf", [ADD, AUG])
def test_a_new_page_belongs_to_the_td_and_is_counted(td: Td, leaf: str) -> None:
    td.tables()
    lab, children, count = td.lab, td.structure.chldcnt.value, td.lab.node(8).page_count.value
    regs = lab.ok(leaf, rcx=GPA, rdx=TDR, r8=NEW, r9=PARAMS)
    assert (regs.rcx, regs.rdx, regs.r8) == (0, 0, NEW)
    entry = lab.entry(NEW)
    assert (entry.pt, entry.owner_hpa, entry.bepoch) == (PT.REG, TDR, 0)
    assert td.structure.chldcnt.value == children + 1
    assert lab.node(8).page_count.value == count + 1
    assert lab.held() == {}


@pytest.mark.parametrize(
    ("leaf", "state", "bits"), [(ADD, 0x04, 1 << 63 | 0x4F7), (AUG, 0x02, 1 << 63 | 0xF0)]
)
def test_an_added_page_is_mapped_and_an_augmented_one_pending(
    td: Td, leaf: str, state: int, bits: int
) -> None:
    td.tables()
    td.lab.ok(leaf, rcx=GPA, rdx=TDR, r8=NEW, r9=PARAMS)
    again = td.lab.call(AUG, rcx=GPA, rdx=TDR, r8=page(8, 400))
    assert again.text == "EPT_ENTRY_STATE_INCORRECT|RCX"
    assert (again.regs.rcx, again.regs.rdx) == (NEW | bits, state << 8)


def test_a_2mb_page_needs_no_pair_and_counts_512_children(td: Td) -> None:
    td.tables(down_to=2)
    children = td.structure.chldcnt.value
    td.lab.ok(AUG, rcx=GPA | 1, rdx=TDR, r8=page(0))
    assert td.structure.chldcnt.value == children + 512
    assert (td.lab.node(0).pt, td.lab.node(0).owner_hpa) == (PT.REG, TDR)
    assert td.lab.node(0).page_count.value == 0
    assert td.remove(level=1).rcx == page(0)
    assert td.structure.chldcnt.value == children
    assert td.lab.node(0).pt == PT.NDA


def test_a_removed_page_comes_back_in_rcx_and_its_entry_is_free(td: Td) -> None:
    td.aug(OLD)
    children, count = td.structure.chldcnt.value, td.lab.node(8).page_count.value
    regs = td.remove()
    assert (regs.rcx, regs.rdx) == (OLD, 0)
    assert td.structure.chldcnt.value == children - 1
    assert td.lab.node(8).page_count.value == count - 1
    assert td.lab.watch.told == [("page_gone", OLD)]
    td.aug(OLD)


def test_the_hint_comes_with_the_last_page_of_a_range(td: Td) -> None:
    td.lab.pair(0)
    for n in (0, 511):
        td.aug(page(0, n), GPA + n * SIZE_4K)
    assert [td.remove(GPA + n * SIZE_4K).rcx for n in (511, 0)] == [page(0, 511), page(0) | HINT]


def test_a_running_td_loses_a_page_only_after_block_and_track(lab: Lab) -> None:
    old_tracked(lab)
    assert lab.ok(REMOVE, rcx=GPA, rdx=TDR).rcx == OLD


def test_relocation_moves_page_and_mapping_and_gives_the_old_page_back(lab: Lab) -> None:
    old_tracked(lab)
    regs = lab.ok(RELOCATE, rcx=GPA, rdx=TDR, r8=NEW)
    assert (regs.rcx, regs.rdx, regs.r8) == (OLD, 0, NEW)
    assert (lab.entry(OLD).pt, lab.entry(NEW).pt, lab.entry(NEW).bepoch) == (0, PT.REG, 0)
    blocked_again = lab.call("MEM.RANGE.BLOCK", rcx=GPA, rdx=TDR)
    assert blocked_again.text == "SUCCESS", "a relocated page is open again"
    assert lab.watch.told == [("page_gone", OLD)]


def test_relocation_out_of_a_range_gives_the_hint_and_within_it_none(td: Td) -> None:
    td.lab.pair(0)
    td.aug(page(0, 1))
    within = td.lab.ok(RELOCATE, rcx=GPA, rdx=TDR, r8=page(0, 2)).rcx
    out = td.lab.ok(RELOCATE, rcx=GPA, rdx=TDR, r8=NEW).rcx
    assert (within, out) == (page(0, 1), page(0, 2) | HINT)


def test_page_add_on_a_locked_entry_is_fatal(td: Td) -> None:
    td.tables()
    sept = td.structure.tdcs.sept
    assert sept is not None
    assert sept.walk(GPA, 0)[0].lock_host()
    td.lab.call(ADD, rcx=GPA, rdx=TDR, r8=NEW)
    assert isinstance(td.lab.module.dead, ModuleFatal)
    assert td.lab.module.dead.fatal_id == 229


def test_pages_of_one_range_in_two_tds_are_counted_together(lab: Lab) -> None:
    lab.pair(0)
    for i, td in enumerate((lab.td(), lab.td(home=9, hkid=41))):
        td.aug(page(0, i), GPA + SIZE_2M)
    assert lab.node(0).page_count.value == 2
