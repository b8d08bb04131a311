"""Every failed acquire leaves HOST_PRIORITY behind, and the next success takes it away."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.module.lock import HpLock, SharexLock

from .lab import BASE, GPA, NEW, TDR, Lab, page
from .races import Call, call

G, TARGET = f"PAMT_1G[{BASE:#x}]", f"PAMT_2M[{page(0):#x}]"
Lock = Callable[[Lab], HpLock]


def gigabyte(lab: Lab) -> HpLock:
    return lab.block.entry_1g


def target(lab: Lab) -> HpLock:
    return lab.node(0)


def donor_range(lab: Lab) -> HpLock:
    return lab.node(300)


def tdr(lab: Lab) -> HpLock:
    return lab.entry(TDR)


def new_page(lab: Lab) -> HpLock:
    return lab.entry(NEW)


def op_state(lab: Lab) -> HpLock:
    return lab.module.tdr_at(TDR).tdcs.op_state_lock


def tree(lab: Lab) -> HpLock:
    return lab.module.tdr_at(TDR).tdcs.secure_ept_lock


ADD = call("PHYMEM.PAMT.ADD", rcx=page(0) | 1, rdx=page(300), r8=page(301))
AUG = call("MEM.PAGE.AUG", rcx=GPA, rdx=TDR, r8=NEW)
BLOCK = call("MEM.RANGE.BLOCK", rcx=GPA | 1, rdx=TDR)


def make(lab: Lab, made: Call) -> str:
    return lab.call(made.leaf, **made.registers).text


@pytest.mark.parametrize(
    ("made", "lock", "shared", "status"),
    [
        (ADD, gigabyte, False, "OPERAND_BUSY|RCX"),
        (ADD, target, True, "OPERAND_BUSY|RCX"),
        (ADD, target, False, "OPERAND_BUSY|RCX"),
        (ADD, donor_range, False, "OPERAND_BUSY|RDX"),
        (AUG, tdr, False, "OPERAND_BUSY|RDX"),
        (AUG, op_state, False, "OPERAND_BUSY|OP_STATE"),
        (AUG, tree, False, "OPERAND_BUSY|SEPT_TREE"),
        (AUG, new_page, True, "OPERAND_BUSY|R8"),
        (AUG, new_page, False, "OPERAND_BUSY|R8"),
        (BLOCK, tree, True, "OPERAND_BUSY|SEPT_TREE"),
    ],
)
def test_a_busy_call_marks_just_the_lock_it_failed_on(
    lab: Lab, made: Call, lock: Lock, shared: bool, status: str
) -> None:
    lab.td().tables()
    wanted = lock(lab)
    assert wanted.acquire_sh() if shared else wanted.acquire_ex()
    assert make(lab, made) == status
    assert lab.host_priority() == [wanted.name]
    wanted.release_sh() if shared else wanted.release_ex()
    assert lab.host_priority() == [wanted.name], "a release keeps it"
    assert make(lab, made) == "SUCCESS"
    assert lab.host_priority() == [], "the next success takes it away"
    assert lab.held() == {}


def test_a_failed_share_against_an_exclusive_holder_adds_no_lasting_sharer(lab: Lab) -> None:
    assert lab.node(0).acquire_ex()
    for _ in range(5):
        assert make(lab, ADD) == "OPERAND_BUSY|RCX"
    assert lab.node(0).word == 5 * HpLock.SHARER | HpLock.HP | HpLock.EX
    lab.node(0).release_ex()
    assert lab.held() == {}
    assert make(lab, ADD) == "SUCCESS"


def test_a_failed_promotion_gives_back_what_it_shared(lab: Lab) -> None:
    assert lab.node(0).acquire_sh()
    for _ in range(5):
        assert make(lab, ADD) == "OPERAND_BUSY|RCX"
    assert lab.held() == {TARGET: "SH 1"}
    assert lab.host_priority() == [TARGET]


def test_host_priority_keeps_no_host_call_from_its_way(lab: Lab) -> None:
    """It is there for guests, who are told to make way."""
    assert lab.node(0).acquire_sh()
    make(lab, ADD)
    lab.node(0).release_sh()
    before = lab.sim.clock
    make(lab, ADD)
    with_priority = lab.sim.clock - before
    other = Lab()
    make(other, ADD)
    assert with_priority == other.sim.clock + 1, "one instruction more, to clear it"


def test_the_key_table_has_no_host_priority(lab: Lab) -> None:
    lab.pair(8)
    keys = lab.module.keys.lock
    assert isinstance(keys, SharexLock)
    assert keys.acquire_ex()
    assert lab.call("MNG.CREATE", rcx=TDR, rdx=40).text == "OPERAND_BUSY|KOT"
    assert keys.word == 1


def test_a_gigabyte_is_shared_by_all_calls_in_it(lab: Lab) -> None:
    assert lab.block.entry_1g.acquire_sh()
    assert make(lab, ADD) == "SUCCESS"
    assert lab.held() == {G: "SH 1"}
