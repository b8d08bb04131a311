"""TDH.MR.EXTEND: a piece of an added page is measured (FINALIZE: see test_leaf_mng)."""

from __future__ import annotations

import pytest

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.sept_entry import SUPPRESS_VE
from tdxfuzz.module.sept_state import SeptState

from ..lab import GPA, NEW, TDR, Lab, Stage, page
from ..rows import Refusal, check_refused, refusals
from ..states import at, page_added, read, then, torn_down

EXTEND = "MR.EXTEND"


def pending(lab: Lab) -> None:
    lab.td().aug(NEW)


row = refusals(page_added, rcx=GPA, rdx=TDR)


REFUSALS = [
    row("TDR not aligned", "OPERAND_INVALID|RDX", rdx=TDR + 1),
    row("no TDR", "PAGE_METADATA_INCORRECT|RDX", rdx=NEW),
    row("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RDX", rdx=1 << 31),
    row("TDR shared", "OPERAND_BUSY|RDX", then(page_added, read(TDR))),
    row("keys missing", "TD_KEYS_NOT_CONFIGURED", torn_down),
    row("pages missing", "TDCS_NOT_ALLOCATED", at(Stage.KEYS)),
    row("not initialised", "OP_STATE_INCORRECT|UNINITIALIZED", at(Stage.TDCX)),
    row("runnable", "OP_STATE_INCORRECT|RUNNABLE", at(Stage.RUNNABLE)),
    row("not aligned", "OPERAND_INVALID|RCX", rcx=GPA + 128),
    row("shared", "OPERAND_INVALID|RCX", rcx=1 << 47),
    row("no page", "EPT_ENTRY_NOT_PRESENT|RCX", rcx=GPA + SIZE_4K),
    row("no table", "EPT_ENTRY_NOT_PRESENT|RCX", rcx=1 << 40),
    row("pending", "EPT_ENTRY_NOT_PRESENT|RCX", pending),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_extend_is_refused_in_this_order(lab: Lab, refusal: Refusal) -> None:
    check_refused(lab, EXTEND, refusal)


@pytest.mark.parametrize("offset", [0, 256, 4096 - 256])
def test_extend_takes_a_quarter_of_a_kilobyte(lab: Lab, offset: int) -> None:
    page_added(lab)
    regs = lab.ok(EXTEND, rcx=GPA + offset, rdx=TDR)
    assert (regs.rcx, regs.rdx, lab.held()) == (0, 0, {})


def test_what_is_there_instead_of_a_page_is_told(lab: Lab) -> None:
    page_added(lab)
    free = lab.call(EXTEND, rcx=GPA + SIZE_4K, rdx=TDR)
    assert (free.regs.rcx, free.regs.rdx) == (SUPPRESS_VE, SeptState.FREE.public << 8)


def test_extend_holds_the_tdr_alone(lab: Lab) -> None:
    page_added(lab)
    events = lab.record()
    lab.ok(EXTEND, rcx=GPA, rdx=TDR)
    assert [event for event in events if event.startswith("acq")] == [
        "acq SH PAMT_1G[0x100000000]",
        f"acq SH PAMT_2M[{page(8):#x}]",
        f"acq EX PAMT_4K[{TDR:#x}]",
    ]
