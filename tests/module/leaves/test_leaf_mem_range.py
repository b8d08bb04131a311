"""TDH.MEM.RANGE.BLOCK, UNBLOCK and TDH.MEM.TRACK: before a mapping may go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.abi.address import SIZE_2M, SIZE_4K
from tdxfuzz.module.sept_state import SeptState

from ..lab import GPA, HKID, NEW, SEPT, TDR, Lab, Stage, Td, page

BLOCK, UNBLOCK, TRACK = "MEM.RANGE.BLOCK", "MEM.RANGE.UNBLOCK", "MEM.TRACK"
TABLE = SEPT + 2 * SIZE_4K
"""The S-EPT page with the 4KB entries."""


@pytest.fixture
def running(lab: Lab) -> Td:
    """A TD that may run, with one 4KB page."""
    td = lab.td(Stage.RUNNABLE)
    td.aug(NEW)
    return td


@pytest.mark.parametrize("level", [0, 1])
def test_blocking_a_range_notes_the_epoch_in_the_page_that_maps_it(running: Td, level: int) -> None:
    lab = running.lab
    running.track()
    regs = lab.ok(BLOCK, rcx=GPA | level, rdx=TDR)
    assert (regs.rcx, regs.rdx) == (0, 0)
    assert [lab.entry(hpa).bepoch for hpa in (NEW, TABLE)] == ([0, 2] if level else [2, 0])
    assert lab.held() == {}


def test_blocking_a_2mb_page_notes_the_epoch_in_its_2mb_entry(td: Td) -> None:
    td.aug(page(0), level=1)
    td.lab.ok(BLOCK, rcx=GPA | 1, rdx=TDR)
    assert td.lab.node(0).bepoch == 1


def test_blocking_and_unblocking_need_the_tree_for_themselves(running: Td) -> None:
    events = running.lab.record()
    running.block()
    running.lab.ok(UNBLOCK, rcx=GPA, rdx=TDR)
    tree = [event for event in events if "SEPT_TREE" in event]
    name = f"EX SEPT_TREE[{TDR:#x}]"
    assert tree == [f"acq {name}", f"rel {name}", f"acq {name}", f"rel {name}"]


def test_a_blocked_range_ends_every_walk_through_it(running: Td) -> None:
    running.block(level=1)
    result = running.lab.call(BLOCK, rcx=GPA, rdx=TDR)
    assert result.text == "EPT_WALK_FAILED|RCX"
    assert result.regs.rdx == 1 | SeptState.NL_BLOCKED.public << 8


def test_unblocking_needs_tracking_since_the_block(running: Td) -> None:
    lab = running.lab
    running.block(track=False)
    refused = lab.call(UNBLOCK, rcx=GPA, rdx=TDR)
    assert (refused.text, refused.regs.rcx, refused.regs.rdx) == ("TLB_TRACKING_NOT_DONE|RCX", 0, 0)
    running.track()
    regs = lab.ok(UNBLOCK, rcx=GPA, rdx=TDR)
    assert (regs.rcx, regs.rdx) == (0, 0)
    assert lab.held() == {}


def test_tracking_before_the_block_does_not_count(running: Td) -> None:
    running.track()
    running.block(track=False)
    assert running.lab.call(UNBLOCK, rcx=GPA, rdx=TDR).text == "TLB_TRACKING_NOT_DONE|RCX"


@pytest.mark.parametrize("leaf", [UNBLOCK, "MEM.PAGE.REMOVE"])
def test_a_td_that_cannot_run_yet_needs_no_tracking(td: Td, leaf: str) -> None:
    td.aug(NEW)
    td.block(track=False)
    td.lab.ok(leaf, rcx=GPA, rdx=TDR)


def test_unblocking_restores_the_mapping_as_it_was(running: Td) -> None:
    before = running.lab.state()["tds"]
    running.block()
    running.lab.ok(UNBLOCK, rcx=GPA, rdx=TDR)
    td = running.lab.state()["tds"]
    assert isinstance(td, dict)
    assert isinstance(before, dict)
    assert td[hex(TDR)]["sept"] == before[hex(TDR)]["sept"]


def test_a_table_can_be_blocked_and_unblocked(running: Td) -> None:
    running.block(level=2)
    running.lab.ok(UNBLOCK, rcx=GPA | 2, rdx=TDR)
    assert running.lab.call(BLOCK, rcx=GPA, rdx=TDR).text == "SUCCESS"


def test_each_tracking_starts_a_new_epoch(running: Td) -> None:
    epoch = running.structure.tdcs.td_epoch
    before = epoch.value
    for i in range(3):
        assert running.lab.ok(TRACK, rcx=TDR).rcx == TDR
        assert epoch.value == before + i + 1


def test_epochs_belong_to_their_td(lab: Lab) -> None:
    first, second = lab.td(), lab.td(home=9, hkid=HKID + 1)
    first.track()
    epochs = [td.structure.tdcs.td_epoch.value for td in (first, second)]
    assert epochs == [2, 1]


def busy(td: Td, acquire: Callable[[], bool]) -> str:
    assert acquire()
    return td.lab.call(TRACK, rcx=TDR).text


def test_tracking_is_busy_while_another_tracking_goes_on(td: Td) -> None:
    assert busy(td, td.structure.tdcs.epoch_lock.acquire_ex) == "OPERAND_BUSY|TD_EPOCH"
    assert td.structure.tdcs.td_epoch.value == 1


def test_tracking_waits_for_the_vcpus_of_the_previous_epoch(running: Td) -> None:
    epoch = running.structure.tdcs.td_epoch
    for in_epoch, status in [(0, "PREVIOUS_TLB_EPOCH_BUSY"), (1, "SUCCESS")]:
        epoch.refcount = [0, 0]
        epoch.refcount[in_epoch] = 1
        assert running.lab.call(TRACK, rcx=TDR).text == status
        assert running.lab.held() == {}
    assert epoch.value == 2


def test_unblocking_needs_the_vcpus_from_before_the_block_to_be_gone(running: Td) -> None:
    running.block()
    epoch = running.structure.tdcs.td_epoch
    epoch.refcount = [0, 1]
    refused = running.lab.call(UNBLOCK, rcx=GPA, rdx=TDR)
    assert refused.text == "TLB_TRACKING_NOT_DONE|RCX"
    epoch.refcount = [1, 0]
    running.lab.ok(UNBLOCK, rcx=GPA, rdx=TDR)


def test_tracking_does_not_care_for_the_tree(td: Td) -> None:
    assert busy(td, td.structure.tdcs.secure_ept_lock.acquire_ex) == "SUCCESS"


def test_tracking_needs_an_initialised_td(lab: Lab) -> None:
    lab.td(Stage.TDCX)
    assert lab.call(TRACK, rcx=TDR).text == "OP_STATE_INCORRECT|UNINITIALIZED"


def test_neighbours_are_not_blocked_with_a_page(running: Td) -> None:
    running.aug(page(8, 400), GPA + SIZE_4K)
    running.aug(page(8, 401), GPA + SIZE_2M)
    running.block()
    for gpa in (GPA + SIZE_4K, GPA + SIZE_2M):
        refused = running.lab.call("MEM.PAGE.REMOVE", rcx=gpa, rdx=TDR)
        assert refused.text == "GPA_RANGE_NOT_BLOCKED|RCX"
