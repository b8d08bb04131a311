"""TDs with L2 VMs: S-EPT pages of L2 VMs come with SEPT.ADD and DEMOTE, and go again."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.check.module_state import inconsistencies
from tdxfuzz.module.memory import RawPage
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.td_params import DEFAULT

from ..guests import DEBUG
from ..lab import GPA, HINT, NEW, OUTSIDE, PARAMS, TDR, Lab, Result, Stage, Td, page
from ..races import Ending, all_orders, call
from ..rows import Refusal, check_refused, refusals
from ..states import interrupt_pending, read, then

ADD, REMOVE, DEMOTE, PROMOTE = (
    "MEM.SEPT.ADD",
    "MEM.SEPT.REMOVE",
    "MEM.PAGE.DEMOTE",
    "MEM.PAGE.PROMOTE",
)
NULL = (1 << 64) - 1
UNUSED = 1 << 63
L2 = [page(8, 400 + i) for i in range(12)]
"""Free pages for the S-EPT of L2 VMs."""
D0, D1 = page(300), page(301)
NO_PAGES = {"r9": NULL, "r10": NULL, "r11": NULL}
FREE = 0x40 << 8
NL_MAPPED = 0xC4 << 8


def td_with(lab: Lab, vms: int, attributes: int = 0, stage: Stage = Stage.INIT) -> Td:
    """A TD with L2 VMs, initialised; further only if asked."""
    td = lab.td(Stage.TDCX)
    for i in range(vms):
        lab.ok("MNG.ADDCX", rcx=page(8, 7 + i), rdx=TDR)
    params = evolve(DEFAULT, num_l2_vms=vms, attributes=attributes)
    lab.module.memory.put(RawPage(PARAMS, params.to_bytes()))
    lab.ok("MNG.INIT", rcx=TDR, rdx=PARAMS)
    if stage >= Stage.RUNNABLE:
        lab.ok("VP.CREATE", rcx=page(8, 64), rdx=TDR)
        for i in range(1, 6 + 3 * vms):
            lab.ok("VP.ADDCX", rcx=page(8, 64 + i), rdx=page(8, 64))
        lab.ok("VP.INIT", rcx=page(8, 64))
        lab.ok("MR.FINALIZE", rcx=TDR)
    return td


def at(level: int) -> int:
    """The range of a level that GPA lies in."""
    return GPA >> 12 + 9 * level << 12 + 9 * level


def add(lab: Lab, level: int, l1: int = NULL, *l2: int, flags: int = 0) -> Result:
    """SEPT.ADD version 1 with the pages of the first L2 VMs, and none for the others."""
    given = dict(zip(("r9", "r10", "r11"), l2, strict=False))
    operands = {"rcx": at(level) | level, "rdx": TDR | flags, "r8": l1, **NO_PAGES, **given}
    return lab.call(ADD, 0, 1, **operands)


def pages_of(result: Result) -> tuple[int, ...]:
    regs = result.regs
    return regs.r8, regs.r9, regs.r10, regs.r11


def l2_tables(lab: Lab, vms: int = 2, down_to: int = 2, attributes: int = 0) -> Td:
    """A TD whose S-EPT has, from the top down to a level, a page for L1 and each L2 VM."""
    td = td_with(lab, vms, attributes)
    for level in range(td.structure.tdcs.levels - 1, down_to - 1, -1):
        l1 = page(8, 16 + len(td.tables_added))
        pages = [L2[3 * (3 - level) + vm] for vm in range(vms)]
        assert add(lab, level, l1, *pages).text == "SUCCESS"
        td.tables_added.append((level, at(level)))
    return td


def one_vm(lab: Lab) -> None:
    td_with(lab, 1).tables(down_to=2)


def upper(lab: Lab) -> None:
    l2_tables(lab)


def all_tables(lab: Lab) -> None:
    l2_tables(lab, down_to=1)


def consistent(lab: Lab) -> bool:
    return list(inconsistencies(lab.module)) == [] and lab.held() == {}


row = refusals(upper, rcx=GPA | 1, rdx=TDR, r8=NEW, **NO_PAGES)
ADD_REFUSALS = [
    row("VM not there", "OPERAND_INVALID|R11", r11=L2[9], version=1),
    row("VM not there, before its page", "OPERAND_INVALID|R11", r11=1, version=1),
    row("page in no TDMR", "OPERAND_ADDR_RANGE_ERROR|R9", r9=OUTSIDE, version=1),
    row("page not aligned", "OPERAND_INVALID|R10", r10=NEW + 1, version=1),
    row("page unpaired", "MISSING_PAMT_PAGE_PAIR|R9", r9=page(2), version=1),
    row("page used", "PAGE_METADATA_INCORRECT|R10", r10=TDR + SIZE_4K, version=1),
    row("page of L1 again", "OPERAND_BUSY|R9", r9=NEW, version=1),
    row("one page twice", "OPERAND_BUSY|R10", r9=L2[9], r10=L2[9], version=1),
    row("page held", "OPERAND_BUSY|R9", then(upper, read(L2[9])), r9=L2[9], version=1),
    row("L1 page before L2 pages", "OPERAND_ADDR_RANGE_ERROR|R8", r8=OUTSIDE, r9=1, version=1),
    row("no parent", "L2_SEPT_WALK_FAILED|VM 1 level 3", one_vm, r9=1, version=1),
    row("there", "L2_SEPT_ENTRY_NOT_FREE|VM 2 level 1", all_tables, r8=NULL, r10=1, version=1),
]


@pytest.mark.parametrize("case", ADD_REFUSALS, ids=str)
def test_sept_add_is_refused_in_this_order(lab: Lab, case: Refusal) -> None:
    result = check_refused(lab, ADD, case)
    assert pages_of(result) == tuple(case.registers[name] for name in ("r8", "r9", "r10", "r11"))


def test_where_the_walk_of_an_l2_vm_ended_is_told(lab: Lab) -> None:
    one_vm(lab)
    regs = add(lab, 1, NEW, L2[9]).regs
    assert (regs.rcx, regs.rdx) == (1 << 63, 3 | FREE | 1 << 16)


def test_an_l2_entry_that_is_there_is_told(lab: Lab) -> None:
    all_tables(lab)
    regs = add(lab, 1, NULL, NULL, L2[9]).regs
    assert (regs.rcx, regs.rdx) == (0x407, 1 | NL_MAPPED | 2 << 16)


def test_pages_that_were_used_come_back_as_all_ones(lab: Lab) -> None:
    td = l2_tables(lab)
    children = td.structure.chldcnt.value
    result = add(lab, 1, NEW, L2[9], L2[10])
    assert (result.text, pages_of(result)) == ("SUCCESS", (NULL,) * 4)
    for hpa in (NEW, L2[9], L2[10]):
        assert (lab.entry(hpa).pt, lab.entry(hpa).owner_hpa) == (PT.EPT, TDR)
    assert td.structure.chldcnt.value == children + 3
    assert consistent(lab)


def test_pages_that_are_not_needed_come_back_with_a_flag(lab: Lab) -> None:
    all_tables(lab)
    result = add(lab, 1, NEW, L2[9], flags=1)
    assert (result.text, pages_of(result)[:2]) == ("SUCCESS", (NEW | UNUSED, L2[9] | UNUSED))


def test_an_l2_vm_can_follow_later(lab: Lab) -> None:
    l2_tables(lab).tables(down_to=1)
    result = add(lab, 1, NULL, NULL, L2[10])
    assert (result.text, pages_of(result)) == ("SUCCESS", (NULL,) * 4)
    assert consistent(lab)


def test_an_interrupt_between_two_pages_keeps_those_that_were_added(lab: Lab) -> None:
    upper(lab)
    interrupt_pending(lab)
    result = add(lab, 1, NEW, L2[9])
    assert result.text == "INTERRUPTED_RESUMABLE"
    assert (result.regs.rcx, result.regs.rdx) == (GPA | 1, TDR)
    assert pages_of(result) == (NULL, L2[9], NULL, NULL)
    assert consistent(lab)
    result = add(lab, 1, NULL, L2[9])
    assert (result.text, pages_of(result)) == ("SUCCESS", (NULL,) * 4)


def test_the_entry_is_released_first_then_the_pages_in_their_order(lab: Lab) -> None:
    upper(lab)
    events = lab.record()
    add(lab, 1, NEW, L2[9], L2[10])
    released = [e.split()[2] for e in events if e.startswith("rel EX")]
    entry = f"SEPTE[{TDR:#x},{GPA:#x},1]"
    assert released == [entry, *(f"PAMT_4K[{hpa:#x}]" for hpa in (NEW, L2[9], L2[10]))]


@pytest.mark.parametrize("version", [0, 1])
def test_sept_remove_frees_the_pages_of_l2_vms_as_well(lab: Lab, version: int) -> None:
    td = l2_tables(lab, down_to=1)
    children = td.structure.chldcnt.value
    regs = lab.ok(REMOVE, 0, version, rcx=GPA | 1, rdx=TDR)
    assert regs.rcx == page(8, 18)
    if version:
        assert (regs.r9, regs.r10, regs.r11) == (L2[6], L2[7], NULL)
    for hpa in (L2[6], L2[7]):
        assert lab.entry(hpa).pt == PT.NDA
    assert td.structure.chldcnt.value == children - 3
    assert consistent(lab)
    assert add(lab, 1, NEW, L2[6], L2[7]).text == "SUCCESS"


def test_the_last_page_of_a_range_may_be_one_of_an_l2_vm(lab: Lab) -> None:
    upper(lab)
    lab.pair(0)
    assert add(lab, 1, NEW, page(0, 1)).text == "SUCCESS"
    assert lab.ok(REMOVE, 0, 1, rcx=GPA | 1, rdx=TDR).r9 == page(0, 1) | HINT


def test_sept_remove_needs_the_pages_of_l2_vms_for_itself(lab: Lab) -> None:
    then(all_tables, read(L2[7]))(lab)
    held = lab.held()
    assert lab.call(REMOVE, 0, 1, rcx=GPA | 1, rdx=TDR).text == "OPERAND_BUSY|RCX"
    assert lab.held() == held


def test_a_range_is_blocked_for_l2_vms_too_and_unblocked(lab: Lab) -> None:
    td = l2_tables(lab, down_to=1)
    lab.ok("MEM.RANGE.BLOCK", rcx=GPA | 1, rdx=TDR)
    (l2_entry, _) = td.structure.tdcs.l2_septs[1].walk(GPA, 1)
    assert l2_entry.raw & 0x407 == 0
    assert l2_entry.raw & 1 << 55
    assert consistent(lab)
    lab.ok("MEM.RANGE.UNBLOCK", rcx=GPA | 1, rdx=TDR)
    assert l2_entry.raw & 0x407 == 0x407
    lab.ok("MEM.RANGE.BLOCK", rcx=GPA | 1, rdx=TDR)
    assert lab.ok(REMOVE, 0, 1, rcx=GPA | 1, rdx=TDR).r10 == L2[7]


def test_sept_rd_tells_the_attributes_that_an_alias_has(lab: Lab) -> None:
    l2_tables(lab, attributes=DEBUG).tables(down_to=1)
    assert lab.ok("MEM.SEPT.RD", rcx=GPA | 2, rdx=TDR | 1).r8 == 0x800F_800F_0000
    assert lab.ok("MEM.SEPT.RD", rcx=GPA | 1, rdx=TDR | 1).r8 == 0
    assert lab.ok("MEM.SEPT.RD", rcx=GPA | 2, rdx=TDR, r8=7).r8 == 7


def l2_large(lab: Lab) -> None:
    """A 2MB page of a TD with two L2 VMs, which have tables down to it."""
    l2_tables(lab).aug(page(0), level=1)


def large_without_l2_tables(lab: Lab) -> None:
    td_with(lab, 2).aug(page(0), level=1)


demote = refusals(l2_large, rcx=GPA | 1, rdx=TDR, r8=NEW, r12=D0, r13=D1, **NO_PAGES)
DEMOTE_REFUSALS = [
    demote("no page for VM 1", "OPERAND_ADDR_RANGE_ERROR|R9", r9=0),
    demote("page in no TDMR", "OPERAND_ADDR_RANGE_ERROR|R10", r10=OUTSIDE, r12=1),
    demote("page not aligned", "OPERAND_INVALID|R9", r9=L2[9] + 1),
    demote("page unpaired", "MISSING_PAMT_PAGE_PAIR|R9", r9=page(2)),
    demote("page of L1 again", "OPERAND_BUSY|R9", r9=NEW),
    demote("no parent", "L2_SEPT_WALK_FAILED|VM 1 level 3", large_without_l2_tables, r9=L2[9]),
    demote(
        "no parent, VM 2",
        "L2_SEPT_WALK_FAILED|VM 2 level 3",
        large_without_l2_tables,
        r10=NEW - SIZE_4K,
    ),
    demote("L2 page before donors", "OPERAND_INVALID|R12", r9=L2[9], r12=1),
    demote("donor is an L2 page", "OPERAND_BUSY|R12", r9=L2[9], r12=L2[9]),
]


@pytest.mark.parametrize("case", DEMOTE_REFUSALS, ids=str)
def test_demote_is_refused_in_this_order(lab: Lab, case: Refusal) -> None:
    result = check_refused(lab, DEMOTE, case)
    assert pages_of(result) == tuple(case.registers[name] for name in ("r8", "r9", "r10", "r11"))


def demoted(lab: Lab, *l2: int, flags: int = 0) -> Result:
    given = dict(zip(("r9", "r10", "r11"), l2, strict=False))
    return lab.call(
        DEMOTE, rcx=GPA | 1, rdx=TDR | flags, r8=NEW, r12=D0, r13=D1, **{**NO_PAGES, **given}
    )


def test_demote_gives_l2_vms_a_page_each(lab: Lab) -> None:
    l2_large(lab)
    result = demoted(lab, L2[9], L2[10], 7)
    assert (result.text, pages_of(result)) == ("SUCCESS", (NEW, L2[9], L2[10], 7))
    for hpa in (NEW, L2[9], L2[10]):
        assert (lab.entry(hpa).pt, lab.entry(hpa).owner_hpa) == (PT.EPT, TDR)
    assert consistent(lab)


def test_demote_without_pages_for_l2_vms_succeeds_as_no_page_has_an_alias(lab: Lab) -> None:
    large_without_l2_tables(lab)
    assert demoted(lab).text == "SUCCESS"
    assert consistent(lab)


def test_demote_can_be_told_that_only_aliases_need_pages(lab: Lab) -> None:
    large_without_l2_tables(lab)
    result = demoted(lab, OUTSIDE, flags=1)
    assert (result.text, pages_of(result)) == ("SUCCESS", (NEW, OUTSIDE | UNUSED, NULL, NULL))
    assert consistent(lab)


def test_bit_63_of_a_page_is_ignored_and_given_back(lab: Lab) -> None:
    l2_large(lab)
    result = demoted(lab, L2[9] | UNUSED)
    assert (result.text, result.regs.r9) == ("SUCCESS", L2[9] | UNUSED)
    assert consistent(lab)


def test_an_interrupt_stops_demote_before_it_looks_for_the_l2_entry(lab: Lab) -> None:
    large_without_l2_tables(lab)
    interrupt_pending(lab)
    result = demoted(lab, L2[9])
    assert result.text == "INTERRUPTED_RESTARTABLE"
    assert (result.regs.rcx, result.regs.rdx) == (GPA | 1, TDR)
    assert consistent(lab)


@pytest.mark.parametrize("version", [0, 1])
def test_promote_gives_the_pages_of_l2_vms_back(lab: Lab, version: int) -> None:
    l2_large(lab)
    demoted(lab, NULL, L2[10])
    regs = lab.ok(PROMOTE, 0, version, rcx=GPA | 1, rdx=TDR)
    assert (regs.rcx, regs.r12, regs.r13) == (NEW, D0, D1)
    if version:
        assert (regs.r9, regs.r10, regs.r11) == (NULL, L2[10], NULL)
    assert lab.entry(L2[10]).pt == PT.NDA
    assert consistent(lab)
    assert demoted(lab, L2[9], L2[10]).text == "SUCCESS"


def test_promote_needs_the_pages_of_l2_vms_for_itself(lab: Lab) -> None:
    l2_large(lab)
    demoted(lab, L2[9])
    read(L2[9])(lab)
    assert lab.call(PROMOTE, 0, 1, rcx=GPA | 1, rdx=TDR).text == "OPERAND_BUSY|RCX"


def test_a_td_with_l2_vms_goes_as_any_other(lab: Lab) -> None:
    td = l2_tables(lab, down_to=1)
    td.teardown()
    for hpa in (*L2[:2], *L2[3:5], *L2[6:8], *(page(8, i) for i in (*range(1, 9), 16, 17, 18))):
        lab.ok("PHYMEM.PAGE.RECLAIM", rcx=hpa)
    assert lab.ok("PHYMEM.PAGE.RECLAIM", rcx=TDR).r9 == HINT


def test_while_it_may_run_l2_pages_go_only_after_blocking_and_tracking(lab: Lab) -> None:
    td = td_with(lab, 1, stage=Stage.RUNNABLE)
    for level in (3, 2, 1):
        assert add(lab, level, page(8, 16 + level), L2[level]).text == "SUCCESS"
    assert lab.call(REMOVE, 0, 1, rcx=GPA | 1, rdx=TDR).text == "GPA_RANGE_NOT_BLOCKED|RCX"
    td.block(level=1)
    regs = lab.ok(REMOVE, 0, 1, rcx=GPA | 1, rdx=TDR)
    assert (regs.rcx, regs.r9) == (page(8, 17), L2[1])
    assert consistent(lab)


def test_between_two_pages_sept_add_notices_who_waits_for_the_tree() -> None:
    """It keeps what it has added. A range that is blocked meanwhile is another one."""
    first = call(ADD, version=1, rcx=GPA | 1, rdx=TDR, r8=NEW, **NO_PAGES | {"r9": L2[9]})
    block = call("MEM.RANGE.BLOCK", rcx=at(3) | 3, rdx=TDR)
    seen = set()

    def judge(ending: Ending) -> None:
        seen.add((ending.results[0].text, pages_of(ending.results[0])[:2]))

    outcomes = all_orders(upper, first, block, judge, preemptions=1)
    tree = "OPERAND_BUSY|SEPT_TREE"
    assert {(tree, "SUCCESS"), ("SUCCESS", tree), ("INTERRUPTED_BUSY", tree)} <= set(outcomes)
    assert ("INTERRUPTED_BUSY", (NULL, L2[9])) in seen
