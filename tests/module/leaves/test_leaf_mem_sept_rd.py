"""TDH.MEM.SEPT.RD: what S-EPT says of an address."""

from __future__ import annotations

import pytest

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.sept_entry import SUPPRESS_VE
from tdxfuzz.module.sept_state import SeptState

from ..guests import ACCEPT, DEBUG, answer_of, runnable, septe
from ..lab import GPA, HKID_BIT, NEW, SEPT, TDR, Lab, Stage, Td, page
from ..rows import Refusal, check_refused, refusals
from ..states import at, op_state_held, then, torn_down, tree_held, upper_tables, written

SEPT_RD = "MEM.SEPT.RD"


def entry_locked(lab: Lab) -> None:
    lab.td().aug(NEW)
    assert septe(lab).lock_host()


row = refusals(rcx=GPA, rdx=TDR)


INIT = at(Stage.INIT)
REFUSALS = [
    row("TDR not aligned", "OPERAND_INVALID|RDX", INIT, rdx=TDR + 2),
    row("HKID", "OPERAND_INVALID|RDX", INIT, rdx=TDR | HKID_BIT),
    row("no TDR", "PAGE_METADATA_INCORRECT|RDX", INIT, rdx=NEW),
    row("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RDX", INIT, rdx=1 << 31),
    row("TDR held", "OPERAND_BUSY|RDX", then(INIT, written(TDR))),
    row("keys missing", "TD_KEYS_NOT_CONFIGURED", torn_down),
    row("pages missing", "TDCS_NOT_ALLOCATED", at(Stage.KEYS)),
    row("op state held", "OPERAND_BUSY|OP_STATE", then(INIT, op_state_held)),
    row("not initialised", "OP_STATE_INCORRECT|UNINITIALIZED", at(Stage.TDCX)),
    row("L2 attributes, no debug TD", "OPERAND_INVALID|RDX", INIT, rdx=TDR | 1),
    row("level", "OPERAND_INVALID|RCX", INIT, rcx=GPA | 4),
    row("reserved", "OPERAND_INVALID|RCX", INIT, rcx=GPA | 8),
    row("not aligned", "OPERAND_INVALID|RCX", INIT, rcx=GPA + SIZE_4K | 1),
    row("shared", "OPERAND_INVALID|RCX", INIT, rcx=1 << 47),
    row("tree held", "OPERAND_BUSY|SEPT_TREE", then(INIT, tree_held)),
    row("no table", "EPT_WALK_FAILED|RCX", upper_tables),
    row("entry locked", "OPERAND_BUSY|RCX", entry_locked),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_it_is_refused_in_this_order(lab: Lab, refusal: Refusal) -> None:
    check_refused(lab, SEPT_RD, refusal)


def test_where_a_walk_ends_is_told(lab: Lab) -> None:
    upper_tables(lab)
    result = lab.call(SEPT_RD, rcx=GPA, rdx=TDR)
    assert (result.regs.rcx, result.regs.rdx) == (SUPPRESS_VE, 1 | SeptState.FREE.public << 8)


@pytest.mark.parametrize(
    ("level", "state", "hpa"),
    [
        (0, SeptState.FREE, 0),
        (0, SeptState.PENDING, NEW),
        (0, SeptState.PENDING_BLOCKED, NEW),
        (1, SeptState.NL_MAPPED, 0),
        (3, SeptState.NL_MAPPED, 0),
    ],
)
def test_every_state_can_be_read(td: Td, level: int, state: SeptState, hpa: int) -> None:
    td.tables()
    if state.is_pending:
        td.aug(NEW)
    if state.is_blocked:
        td.block(track=False)
    gpa = GPA >> 12 + 9 * level << 12 + 9 * level
    regs = td.lab.ok(SEPT_RD, rcx=gpa | level, rdx=TDR)
    assert regs.rdx == level | state.public << 8
    assert regs.rcx & 0xFFF_FFFF_F000 == hpa
    assert td.lab.held() == {}


def test_an_accepted_page_is_mapped(lab: Lab) -> None:
    runnable(lab).aug(NEW)
    answer_of(lab, ACCEPT, rcx=GPA)
    regs = lab.ok(SEPT_RD, rcx=GPA, rdx=TDR)
    assert (regs.rcx & 7, regs.rdx) == (7, SeptState.MAPPED.public << 8)


def test_the_address_shows_how_far_an_accept_has_come(lab: Lab) -> None:
    runnable(lab).aug(page(0), level=1)
    septe(lab, level=1).raw |= 3 * SIZE_4K
    regs = lab.ok(SEPT_RD, rcx=GPA | 1, rdx=TDR)
    assert regs.rcx & 0xFFF_FFFF_F000 == page(0, 3)


@pytest.mark.parametrize(("flag", "r8"), [(0, 77), (1, 0)])
def test_a_debug_td_has_no_l2_attributes_either(lab: Lab, flag: int, r8: int) -> None:
    runnable(lab, DEBUG).aug(NEW)
    assert lab.ok(SEPT_RD, rcx=GPA, rdx=TDR | flag, r8=77).r8 == r8


def test_it_shares_everything_but_the_entry(td: Td) -> None:
    td.tables()
    events = td.lab.record()
    td.lab.ok(SEPT_RD, rcx=GPA, rdx=TDR)
    taken = [event for event in events if event.startswith("acq")]
    assert taken == [
        "acq SH PAMT_1G[0x100000000]",
        f"acq SH PAMT_2M[{page(8):#x}]",
        f"acq SH PAMT_4K[{TDR:#x}]",
        f"acq SH OP_STATE[{TDR:#x}]",
        f"acq SH SEPT_TREE[{TDR:#x}]",
        f"acq EX SEPTE[{TDR:#x},{GPA:#x},0]",
    ]
    assert td.lab.entry(SEPT).word == 0
