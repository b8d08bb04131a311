"""In which TD state, and on which S-EPT entry, each leaf is allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.module.sept_entry import RWX, leaf_value
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.module.td import OpState

from .lab import GPA, NEW, PARAMS, TDR, TDVPR, Lab, Stage, Td, page

S, TD = SeptState, OpState
SPARE_TDVPR = page(8, 72)

ALLOWED_IN: dict[str, tuple[dict[str, int], set[OpState]]] = {
    "MNG.ADDCX": ({"rcx": NEW, "rdx": TDR}, {TD.UNINITIALIZED}),
    "MNG.INIT": ({"rcx": TDR, "rdx": PARAMS}, {TD.UNINITIALIZED}),
    "MR.FINALIZE": ({"rcx": TDR}, {TD.INITIALIZED}),
    "VP.CREATE": ({"rcx": NEW, "rdx": TDR}, {TD.INITIALIZED}),
    "VP.ADDCX": ({"rcx": NEW, "rdx": SPARE_TDVPR}, {TD.INITIALIZED}),
    "VP.INIT": ({"rcx": SPARE_TDVPR}, {TD.INITIALIZED}),
    "MEM.PAGE.ADD": ({"rcx": GPA, "rdx": TDR, "r8": NEW, "r9": PARAMS}, {TD.INITIALIZED}),
    "MEM.PAGE.AUG": ({"rcx": GPA, "rdx": TDR, "r8": NEW}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MEM.SEPT.ADD": ({"rcx": GPA | 3, "rdx": TDR, "r8": NEW}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MEM.SEPT.REMOVE": ({"rcx": GPA | 1, "rdx": TDR}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MEM.PAGE.REMOVE": ({"rcx": GPA, "rdx": TDR}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MEM.PAGE.RELOCATE": ({"rcx": GPA, "rdx": TDR, "r8": NEW}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MEM.PAGE.DEMOTE": ({"rcx": GPA | 1, "rdx": TDR}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MEM.PAGE.PROMOTE": ({"rcx": GPA | 1, "rdx": TDR}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MEM.RANGE.BLOCK": ({"rcx": GPA, "rdx": TDR}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MEM.RANGE.UNBLOCK": ({"rcx": GPA, "rdx": TDR}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MEM.TRACK": ({"rcx": TDR}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MEM.SEPT.RD": ({"rcx": GPA, "rdx": TDR}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MR.EXTEND": ({"rcx": GPA, "rdx": TDR}, {TD.INITIALIZED}),
    "MNG.RD": ({"rcx": TDR}, {TD.INITIALIZED, TD.RUNNABLE}),
    "MNG.WR": ({"rcx": TDR}, {TD.INITIALIZED, TD.RUNNABLE}),
    "VP.ENTER": ({"rcx": TDVPR}, {TD.RUNNABLE}),
}


@pytest.mark.parametrize("leaf", ALLOWED_IN)
@pytest.mark.parametrize("state", OpState)
def test_a_leaf_is_refused_in_the_wrong_op_state(lab: Lab, leaf: str, state: OpState) -> None:
    td = lab.td(Stage.VCPU)
    td.vcpu(1, init=False)
    td.tables()
    td.structure.tdcs.op_state = state
    operands, allowed = ALLOWED_IN[leaf]
    before = lab.state()
    result = lab.call(leaf, **operands)
    refused = result.status.name == "OP_STATE_INCORRECT"
    assert refused is (state not in allowed)
    if refused:
        assert result.status.detail == state
        assert (lab.state(), lab.held()) == (before, {})


def free(td: Td) -> None:
    td.tables(down_to=2)


def table(td: Td) -> None:
    td.tables()


def blocked_table(td: Td) -> None:
    td.tables()
    td.block(level=1)


def pending(td: Td) -> None:
    td.aug(page(0), level=1)


def pending_blocked(td: Td) -> None:
    pending(td)
    td.block(level=1)


def mapped(td: Td) -> None:
    pending(td)
    sept = td.structure.tdcs.sept
    assert sept is not None
    sept.walk(GPA, 1)[0].raw = leaf_value(page(0) | 40 << 40, S.MAPPED, RWX)


def mapped_blocked(td: Td) -> None:
    mapped(td)
    td.block(level=1)


MAKE: dict[SeptState, Callable[[Td], None]] = {
    S.FREE: free,
    S.NL_MAPPED: table,
    S.NL_BLOCKED: blocked_table,
    S.PENDING: pending,
    S.PENDING_BLOCKED: pending_blocked,
    S.MAPPED: mapped,
    S.BLOCKED: mapped_blocked,
}
ANY_LEAF = {S.PENDING, S.PENDING_BLOCKED, S.MAPPED, S.BLOCKED}
ALLOWED_ON: dict[str, tuple[dict[str, int], set[SeptState]]] = {
    "MEM.PAGE.AUG": ({"r8": page(1)}, {S.FREE}),
    "MEM.SEPT.ADD": ({"r8": NEW}, {S.FREE}),
    "MEM.RANGE.BLOCK": ({}, {S.NL_MAPPED, S.MAPPED, S.PENDING}),
    "MEM.RANGE.UNBLOCK": ({}, {S.NL_BLOCKED, S.BLOCKED, S.PENDING_BLOCKED}),
    "MEM.PAGE.REMOVE": ({}, ANY_LEAF),
    "MEM.PAGE.DEMOTE": ({"r8": NEW, "r12": page(300), "r13": page(301)}, ANY_LEAF),
    "MEM.SEPT.REMOVE": ({}, {S.NL_MAPPED, S.NL_BLOCKED}),
}


@pytest.mark.parametrize("leaf", ALLOWED_ON)
@pytest.mark.parametrize("state", SeptState)
def test_a_leaf_is_refused_on_the_wrong_s_ept_entry(td: Td, leaf: str, state: SeptState) -> None:
    MAKE[state](td)
    operands, allowed = ALLOWED_ON[leaf]
    before = td.lab.state()
    result = td.lab.call(leaf, rcx=GPA | 1, rdx=TDR, **operands)
    if state in allowed:
        assert result.text == "SUCCESS"
        return
    already = leaf == "MEM.RANGE.BLOCK" and state.is_blocked
    wanted = "GPA_RANGE_ALREADY_BLOCKED|RCX" if already else "EPT_ENTRY_STATE_INCORRECT|RCX"
    assert result.text == wanted
    assert result.regs.rdx == 1 | state.public << 8
    assert (td.lab.state(), td.lab.held()) == (before, {})


@pytest.mark.parametrize("state", SeptState)
def test_only_tables_can_be_promoted(td: Td, state: SeptState) -> None:
    MAKE[state](td)
    result = td.lab.call("MEM.PAGE.PROMOTE", rcx=GPA | 1, rdx=TDR)
    is_table = state in (S.NL_MAPPED, S.NL_BLOCKED)
    empty_table = "EPT_INVALID_PROMOTE_CONDITIONS|RCX"
    assert result.text == (empty_table if is_table else "EPT_ENTRY_STATE_INCORRECT|RCX")
