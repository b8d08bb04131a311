"""TDH.MEM.SEPT.ADD and REMOVE: S-EPT pages come and go."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.abi.address import SIZE_2M, SIZE_4K
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.sept_state import SeptState

from ..lab import GPA, HINT, HKID_BIT, NEW, OUTSIDE, SEPT, TDR, Lab, Stage, Td, page
from ..rows import Refusal, check_refused, refusals
from ..states import Before, range_read, read, tables, then, upper_tables

ADD, REMOVE = "MEM.SEPT.ADD", "MEM.SEPT.REMOVE"
ALL_ONES = (1 << 64) - 1
UNUSED = 1 << 63
EXISTING = TDR | 1
"""The TDR, and the flag that a page already there will do."""
TABLE = SEPT + 2 * SIZE_4K


add = refusals(rcx=GPA | 1, rdx=TDR, r8=NEW)


ADD_REFUSALS = [
    add("reserved flag", "OPERAND_INVALID|RDX", upper_tables, rdx=TDR | 2),
    add("flags before TDR", "OPERAND_INVALID|RDX", upper_tables, rdx=NEW | 2),
    add("entry in use before page", "EPT_ENTRY_STATE_INCORRECT|RCX", tables, r8=1),
    add("page not aligned", "OPERAND_INVALID|R8", upper_tables, r8=NEW + 1),
    add("page with HKID", "OPERAND_INVALID|R8", upper_tables, r8=NEW | HKID_BIT),
    add("page all ones", "OPERAND_INVALID|R8", upper_tables, r8=ALL_ONES),
    add("page in no TDMR", "OPERAND_ADDR_RANGE_ERROR|R8", upper_tables, r8=OUTSIDE),
    add("page unpaired", "MISSING_PAMT_PAGE_PAIR|R8", upper_tables, r8=page(0)),
    add("busy, not missing", "OPERAND_BUSY|R8", then(upper_tables, range_read), r8=page(0)),
    add("page used", "PAGE_METADATA_INCORRECT|R8", upper_tables, r8=page(8, 1)),
    add("page held", "OPERAND_BUSY|R8", then(upper_tables, read(NEW))),
]


@pytest.mark.parametrize("row", ADD_REFUSALS, ids=str)
def test_add_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    regs = check_refused(lab, ADD, row).regs
    if row.status.startswith("EPT"):
        assert (regs.rcx, regs.rdx) == (0x407, 1 | SeptState.NL_MAPPED.public << 8)
    else:
        assert (regs.rcx, regs.rdx) == (0, 0)


def test_a_new_table_belongs_to_the_td_and_is_counted(td: Td) -> None:
    td.tables(down_to=2)
    children, count = td.structure.chldcnt.value, td.lab.node(8).page_count.value
    regs = td.lab.ok(ADD, rcx=GPA | 1, rdx=TDR, r8=NEW)
    assert (regs.rcx, regs.rdx, regs.r8) == (0, 0, NEW)
    entry = td.lab.entry(NEW)
    assert (entry.pt, entry.owner_hpa) == (PT.EPT, TDR)
    assert td.structure.chldcnt.value == children + 1
    assert td.lab.node(8).page_count.value == count + 1
    assert td.lab.held() == {}


NULL = {"r9": ALL_ONES, "r10": ALL_ONES, "r11": ALL_ONES}
"""Version 1: no S-EPT pages for L2 VMs."""


@pytest.mark.parametrize(
    ("before", "operands", "status", "r8"),
    [
        pytest.param(upper_tables, {}, "SUCCESS", ALL_ONES, id="used"),
        pytest.param(tables, {"rdx": EXISTING}, "SUCCESS", NEW | UNUSED, id="not needed"),
        pytest.param(tables, {}, "EPT_ENTRY_STATE_INCORRECT|RCX", NEW, id="there, unwanted"),
        pytest.param(tables, {"r8": ALL_ONES}, "SUCCESS", ALL_ONES, id="none given, none needed"),
        pytest.param(
            upper_tables,
            {"r8": ALL_ONES},
            "EPT_ENTRY_STATE_INCORRECT|RCX",
            ALL_ONES,
            id="none given, one needed",
        ),
        pytest.param(upper_tables, {"r8": NEW | UNUSED}, "SUCCESS", ALL_ONES, id="flag on input"),
        pytest.param(upper_tables, {"r9": page(8, 400)}, "OPERAND_INVALID|R9", NEW, id="L2 page"),
        pytest.param(
            upper_tables, {"r11": page(8, 400)}, "OPERAND_INVALID|R11", NEW, id="third L2"
        ),
    ],
)
def test_version_1_tells_which_pages_it_used(
    lab: Lab, before: Before, operands: dict[str, int], status: str, r8: int
) -> None:
    before(lab)
    given = {"rcx": GPA | 1, "rdx": TDR, "r8": NEW, **NULL, **operands}
    result = lab.call(ADD, 0, 1, **given)
    assert (result.text, result.regs.r8) == (status, r8)
    for name in ("r9", "r10", "r11"):
        assert getattr(result.regs, name) == given[name]
    assert lab.held() == {}


def test_a_page_not_needed_is_not_even_looked_at(lab: Lab) -> None:
    tables(lab)
    result = lab.call(ADD, 0, 1, rcx=GPA | 1, rdx=EXISTING, r8=OUTSIDE, **NULL)
    assert (result.text, result.regs.r8) == ("SUCCESS", OUTSIDE | UNUSED)


def test_the_entry_is_released_before_the_new_page(lab: Lab) -> None:
    upper_tables(lab)
    events = lab.record()
    lab.ok(ADD, rcx=GPA | 1, rdx=TDR, r8=NEW)
    released = [event for event in events if event.startswith("rel")]
    assert released[:2] == [f"rel EX SEPTE[{TDR:#x},{GPA:#x},1]", f"rel EX PAMT_4K[{NEW:#x}]"]


def runnable_with_tables(lab: Lab) -> None:
    lab.td(Stage.RUNNABLE).tables()


def in_use(lab: Lab) -> None:
    lab.td().aug(NEW)


def table_blocked(lab: Lab) -> None:
    runnable_with_tables(lab)
    lab.ok("MEM.RANGE.BLOCK", rcx=GPA | 1, rdx=TDR)


def blocked_in_use(lab: Lab) -> None:
    td = lab.td(Stage.RUNNABLE)
    td.aug(NEW)
    td.block(level=1)


def remove(name: str, status: str, before: Before, **operands: int) -> Refusal:
    return Refusal(name, {"rcx": GPA | 1, "rdx": TDR} | operands, status, before)


REMOVE_REFUSALS = [
    remove("TDR flags", "OPERAND_INVALID|RDX", tables, rdx=EXISTING),
    remove("free entry", "EPT_ENTRY_STATE_INCORRECT|RCX", upper_tables),
    remove("page held before tracking", "OPERAND_BUSY|RCX", then(table_blocked, read(TABLE))),
    remove("not blocked", "GPA_RANGE_NOT_BLOCKED|RCX", runnable_with_tables),
    remove("not tracked", "TLB_TRACKING_NOT_DONE|RCX", table_blocked),
    remove("in use", "EPT_PAGE_NOT_FREE|RCX", in_use),
    remove("blocked, tracked, in use", "EPT_PAGE_NOT_FREE|RCX", blocked_in_use),
    remove("upper table in use", "EPT_PAGE_NOT_FREE|RCX", tables, rcx=GPA | 2),
]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("row", REMOVE_REFUSALS, ids=str)
def test_remove_is_refused_in_this_order(lab: Lab, row: Refusal, version: int) -> None:
    regs = check_refused(lab, REMOVE, evolve(row, version=version)).regs
    wanted = ALL_ONES if version else 0
    assert (regs.r9, regs.r10, regs.r11) == (wanted, wanted, wanted)
    if row.status == "EPT_PAGE_NOT_FREE|RCX":
        state = SeptState.NL_BLOCKED if row.name.startswith("blocked") else SeptState.NL_MAPPED
        level = row.registers["rcx"] & 7
        assert (regs.rcx == 0) is (state is SeptState.NL_BLOCKED)
        assert regs.rdx == level | state.public << 8


def test_an_empty_table_goes_and_its_entry_is_free(td: Td) -> None:
    td.tables()
    children, count = td.structure.chldcnt.value, td.lab.node(8).page_count.value
    regs = td.lab.ok(REMOVE, rcx=GPA | 1, rdx=TDR)
    assert (regs.rcx, regs.rdx, regs.r9) == (TABLE, 0, 0)
    assert td.lab.entry(TABLE).pt == PT.NDA
    assert td.structure.chldcnt.value == children - 1
    assert td.lab.node(8).page_count.value == count - 1
    assert td.lab.watch.told == [("page_gone", TABLE)]
    assert td.lab.held() == {}
    td.lab.ok(ADD, rcx=GPA | 1, rdx=TDR, r8=TABLE)


def test_a_running_td_loses_a_table_after_block_and_track(lab: Lab) -> None:
    table_blocked(lab)
    lab.ok("MEM.TRACK", rcx=TDR)
    assert lab.ok(REMOVE, 0, 1, rcx=GPA | 1, rdx=TDR).rcx == TABLE


def test_the_last_table_of_a_range_gives_the_hint(td: Td) -> None:
    td.tables(down_to=2)
    td.lab.pair(0)
    for i in (0, 1):
        td.lab.ok(ADD, rcx=GPA + i * SIZE_2M | 1, rdx=TDR, r8=page(0, i))
    removed = [td.lab.ok(REMOVE, rcx=GPA + i * SIZE_2M | 1, rdx=TDR).rcx for i in (0, 1)]
    assert removed == [page(0, 0), page(0, 1) | HINT]


def test_the_entry_is_gone_before_the_page_is_released(td: Td) -> None:
    td.tables()
    events = td.lab.record()
    td.lab.ok(REMOVE, rcx=GPA | 1, rdx=TDR)
    entry, table_page = f"SEPTE[{TDR:#x},{GPA:#x},1]", f"PAMT_4K[{TABLE:#x}]"
    first, last = (events.index(f"{op} EX {table_page}") for op in ("acq", "rel"))
    assert events[first : last + 1] == [
        f"acq EX {table_page}",
        f"cmpxchg {entry}",
        f"xadd -1 CHLDCNT[{TDR:#x}]",
        f"xadd -1 PAGE_COUNT[{page(8):#x}]",
        f"rel EX {table_page}",
    ]
    assert f"rel EX {entry}" not in events
