"""TDH.PHYMEM.PAMT.REMOVE: what it does, and in which order it looks."""

from __future__ import annotations

import pytest

from ..lab import BASE, GPA, HKID_BIT, OUTSIDE, TDR, Lab, Stage, page
from ..rows import Refusal, check_refused, refusals
from ..states import created, large_page, range_read

REMOVE = "PHYMEM.PAMT.REMOVE"
TARGET = page(0) | 1
HOME = page(8) | 1


def td_read(lab: Lab) -> None:
    created(lab)
    assert lab.node(8).acquire_sh()


row = refusals(rdx=2, r8=8)


def using(name: str, status: str, *indices: int) -> Refusal:
    def before(lab: Lab) -> None:
        td = lab.td()
        lab.pair(0)
        for n in indices:
            td.aug(page(0, n), GPA + (n << 12))

    return Refusal(name, {"rcx": TARGET}, status, before)


REFUSALS = [
    # 2: the format of RCX
    row("level 0", "OPERAND_INVALID|RCX", rcx=page(0)),
    row("level 2", "OPERAND_INVALID|RCX", rcx=page(0) | 2),
    row("bit 3", "OPERAND_INVALID|RCX", rcx=TARGET | 8),
    row("bit 52", "OPERAND_INVALID|RCX", rcx=TARGET | 1 << 52),
    row("HKID", "OPERAND_INVALID|RCX", rcx=TARGET | HKID_BIT),
    row("not 2MB aligned", "OPERAND_INVALID|RCX", rcx=page(0, 1) | 1),
    row("format before range", "OPERAND_INVALID|RCX", rcx=OUTSIDE),
    # 3: RCX in a TDMR
    row("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RCX", rcx=OUTSIDE | 1),
    row("above MAXPA", "OPERAND_ADDR_RANGE_ERROR|RCX", rcx=1 << 46 | 1),
    # 4: the lock of the range, before its type
    Refusal(
        "1GB", {"rcx": TARGET}, "OPERAND_BUSY|RCX", lambda lab: lab.block.entry_1g.acquire_ex()
    ),
    Refusal("busy before no pair", {"rcx": TARGET}, "OPERAND_BUSY|RCX", range_read),
    Refusal("busy before not empty", {"rcx": HOME}, "OPERAND_BUSY|RCX", td_read),
    # 5: the type of the range
    row("no pair", "NO_PAMT_PAGE_PAIR|RCX", rcx=TARGET),
    Refusal("2MB page", {"rcx": TARGET}, "NO_PAMT_PAGE_PAIR|RCX", large_page),
    # 6: the entries of the range
    Refusal("TDR", {"rcx": HOME}, "PAMT_PAGE_NOT_EMPTY|page 0", created),
    using("first page of the range", "PAMT_PAGE_NOT_EMPTY|page 0", 0),
    using("last of the first half", "PAMT_PAGE_NOT_EMPTY|page 0", 255),
    using("first of the second half", "PAMT_PAGE_NOT_EMPTY|page 1", 256),
    using("last page of the range", "PAMT_PAGE_NOT_EMPTY|page 1", 511),
    using("both halves: the first wins", "PAMT_PAGE_NOT_EMPTY|page 0", 511, 255),
]


@pytest.mark.parametrize("row", REFUSALS, ids=str)
def test_it_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    result = check_refused(lab, REMOVE, row)
    assert {k: v for k, v in result.regs.as_dict().items() if v} == row.registers


def test_success_gives_both_pages_back(lab: Lab) -> None:
    first, second = lab.pair(0)
    regs = lab.ok(REMOVE, rcx=TARGET, rdx=2, r8=8, r9=9)
    assert (regs.rcx, regs.rdx, regs.r8, regs.r9) == (TARGET, first, second, 9)
    assert (lab.state()["ranges"], lab.state()["bitmap"]) == ([], [])
    assert lab.held() == {}


def test_the_low_word_names_the_page_that_is_not_empty(lab: Lab) -> None:
    td = lab.td()
    lab.pair(0)
    td.aug(page(0, 400))
    assert lab.call(REMOVE, rcx=TARGET).status == 0xC0000306_00000001


def test_only_the_type_of_entries_counts_not_their_locks(lab: Lab) -> None:
    lab.pair(0)
    assert lab.entry(page(0, 7)).acquire_ex()
    assert lab.unpair(0).text == "SUCCESS"


def test_a_range_that_hosts_pages_of_others_may_lose_its_pair(lab: Lab) -> None:
    lab.pair(1)
    lab.ok("PHYMEM.PAMT.ADD", rcx=TARGET, rdx=page(1, 3), r8=page(1, 4))
    assert lab.unpair(1).text == "SUCCESS"
    # and those pages are still safe
    add = lab.call("PHYMEM.PAMT.ADD", rcx=page(2) | 1, rdx=page(1, 3), r8=page(300))
    assert add.text == "PAGE_NOT_FREE|RDX"


def test_a_range_that_hosts_its_own_pair_may_lose_it(lab: Lab) -> None:
    lab.ok("PHYMEM.PAMT.ADD", rcx=TARGET, rdx=page(0, 5), r8=page(0, 300))
    regs = lab.unpair(0).regs
    assert (regs.rdx, regs.r8) == (page(0, 5), page(0, 300))


def test_a_pair_can_be_removed_only_once(lab: Lab) -> None:
    lab.pair(0)
    assert [lab.unpair(0).text, lab.unpair(0).text] == ["SUCCESS", "NO_PAMT_PAGE_PAIR|RCX"]


def test_the_first_page_stays_readable_as_an_owner(lab: Lab) -> None:
    first, _ = lab.pair(0)
    lab.unpair(0)
    metadata = lab.ok("PHYMEM.PAGE.RDMD", rcx=TARGET)
    assert (metadata.rcx, metadata.rdx, metadata.r8) == (0, first << 4, 1)


def test_a_count_that_disagrees_with_the_entries_is_fatal(lab: Lab) -> None:
    lab.pair(0)
    lab.node(0).page_count.value = 1
    assert lab.unpair(0).text == "SEAMCALL_VMFAILINVALID"
    assert lab.watch.told == [("fatal", 343)]


def test_entries_in_use_are_found_before_the_count_is_looked_at(lab: Lab) -> None:
    lab.td()
    lab.node(8).page_count.value = 99
    assert lab.unpair(8).text == "PAMT_PAGE_NOT_EMPTY|page 0"


@pytest.mark.parametrize("rcx", [TARGET, 0, OUTSIDE | 1])
def test_without_dynamic_pamt_the_leaf_does_not_exist(rcx: int) -> None:
    assert Lab(dynamic=False).call(REMOVE, rcx=rcx).text == "OPERAND_INVALID|RAX"


def test_bits_are_cleared_while_the_range_is_held(lab: Lab) -> None:
    first, second = lab.pair(0)
    events = lab.record()
    lab.unpair(0)
    g, target = f"PAMT_1G[{BASE:#x}]", f"PAMT_2M[{page(0):#x}]"
    assert events == [
        *(f"acq SH {g}", f"acq SH {target}", f"promote EX {target}"),
        *(f"btr BITMAP[{first:#x}]", f"btr BITMAP[{second:#x}]"),
        *(f"rel EX {target}", f"rel SH {g}"),
    ]


def test_a_td_whose_pages_were_reclaimed_leaves_a_range_that_can_be_unpaired(lab: Lab) -> None:
    lab.td(Stage.CREATED).teardown()
    assert lab.unpair(8).text == "PAMT_PAGE_NOT_EMPTY|page 0"
    lab.ok("PHYMEM.PAGE.RECLAIM", rcx=TDR)
    assert lab.unpair(8).text == "SUCCESS"
