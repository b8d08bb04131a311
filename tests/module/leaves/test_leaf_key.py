"""TDH.MNG.KEY.* and VPFLUSHDONE: a TD gets its key, and gives its HKID back."""

from __future__ import annotations

import pytest

from ..lab import HKID_BIT, OUTSIDE, TDR, TDVPR, Lab, Stage, page
from ..rows import Refusal, check_refused, refusals
from ..states import Before, created, keyed, keys_held, read, then, torn_down, with_vcpu

CONFIG, FLUSHDONE, FREEID = "MNG.KEY.CONFIG", "MNG.VPFLUSHDONE", "MNG.KEY.FREEID"


def td_blocked(lab: Lab) -> None:
    lab.td(Stage.INIT)
    lab.ok(FLUSHDONE, rcx=TDR)


row = refusals(created, rcx=TDR, rdx=2)


WRONG_TDR = [
    row("not aligned", "OPERAND_INVALID|RCX", rcx=TDR + 1),
    row("HKID", "OPERAND_INVALID|RCX", rcx=TDR | HKID_BIT),
    row("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RCX", rcx=OUTSIDE),
    row("free page", "PAGE_METADATA_INCORRECT|RCX", rcx=page(8, 1)),
    row("unpaired", "PAGE_METADATA_INCORRECT|RCX", rcx=page(0)),
    row("vCPU", "PAGE_METADATA_INCORRECT|RCX", with_vcpu, rcx=TDVPR),
    row("held", "OPERAND_BUSY|RCX", then(keyed, read(TDR))),
]


@pytest.mark.parametrize("leaf", [CONFIG, FLUSHDONE, FREEID])
@pytest.mark.parametrize("wrong", WRONG_TDR, ids=str)
def test_the_operand_has_to_be_a_tdr_nobody_holds(lab: Lab, leaf: str, wrong: Refusal) -> None:
    regs = check_refused(lab, leaf, wrong).regs
    assert (regs.rcx, regs.rdx) == (wrong.registers["rcx"], 2)


@pytest.mark.parametrize("before", [keyed, with_vcpu, td_blocked, torn_down])
def test_a_key_is_configured_once(lab: Lab, before: Before) -> None:
    check_refused(lab, CONFIG, row("", "LIFECYCLE_STATE_INCORRECT", before))


FLUSHDONE_REFUSALS = [
    row("held before keys", "OPERAND_BUSY|RCX", then(keyed, read(TDR), keys_held)),
    row("keys before lifecycle", "OPERAND_BUSY|KOT", then(td_blocked, keys_held)),
    row("keys before vCPUs", "OPERAND_BUSY|KOT", then(with_vcpu, keys_held)),
    row("blocked already", "LIFECYCLE_STATE_INCORRECT", td_blocked),
    row("torn down", "LIFECYCLE_STATE_INCORRECT", torn_down),
    row("vCPU on a processor", "FLUSHVP_NOT_DONE", with_vcpu),
]


@pytest.mark.parametrize("wrong", FLUSHDONE_REFUSALS, ids=str)
def test_vpflushdone_is_refused_in_this_order(lab: Lab, wrong: Refusal) -> None:
    check_refused(lab, FLUSHDONE, wrong)


FREEID_REFUSALS = [
    row("held before lifecycle", "OPERAND_BUSY|RCX", then(keyed, read(TDR))),
    row("not blocked", "LIFECYCLE_STATE_INCORRECT", keyed),
    row("freed already", "LIFECYCLE_STATE_INCORRECT", torn_down),
    row("lifecycle before keys", "LIFECYCLE_STATE_INCORRECT", then(torn_down, keys_held)),
    row("keys before caches", "OPERAND_BUSY|KOT", then(td_blocked, keys_held)),
    row("caches not written back", "WBCACHE_NOT_COMPLETE", td_blocked),
]


@pytest.mark.parametrize("wrong", FREEID_REFUSALS, ids=str)
def test_freeid_is_refused_in_this_order(lab: Lab, wrong: Refusal) -> None:
    check_refused(lab, FREEID, wrong)


@pytest.mark.parametrize("stage", [Stage.CREATED, Stage.KEYS, Stage.TDCX, Stage.INIT])
def test_a_td_may_be_blocked_at_any_stage(lab: Lab, stage: Stage) -> None:
    td = lab.td(stage)
    regs = lab.ok(FLUSHDONE, rcx=TDR, rdx=2)
    assert (regs.rcx, regs.rdx) == (TDR, 2)
    assert td.structure.lifecycle.name == "BLOCKED"
    assert lab.state()["kot"] == {"40": ["FLUSHED", 1]}
    assert lab.held() == {}


def test_a_flushed_vcpu_no_longer_keeps_its_td_from_being_blocked(lab: Lab) -> None:
    with_vcpu(lab)
    lab.ok("VP.FLUSH", rcx=TDVPR)
    assert lab.call(FLUSHDONE, rcx=TDR).text == "SUCCESS"


def test_a_td_blocked_while_it_was_built_no_longer_counts_as_under_construction(lab: Lab) -> None:
    lab.td()
    assert lab.module.td_build_count.value == 1
    lab.ok(FLUSHDONE, rcx=TDR)
    assert lab.module.td_build_count.value == 0


def test_a_finalized_td_is_not_counted_down_again(lab: Lab) -> None:
    lab.td(Stage.RUNNABLE)
    lab.td(home=9, hkid=41)
    lab.ok("VP.FLUSH", rcx=TDVPR)
    lab.ok(FLUSHDONE, rcx=TDR)
    assert lab.module.td_build_count.value == 1


def test_a_build_count_below_zero_is_fatal(lab: Lab) -> None:
    lab.td()
    lab.module.td_build_count.value = 0
    assert lab.call(FLUSHDONE, rcx=TDR).text == "SEAMCALL_VMFAILINVALID"
    assert lab.watch.told == [("fatal", 364)]


def test_freeing_the_hkid_ends_the_td(lab: Lab) -> None:
    td = lab.td(Stage.KEYS)
    td.teardown()
    assert td.structure.lifecycle.name == "TEARDOWN"
    assert lab.state()["kot"] == {}
    assert lab.held() == {}


@pytest.mark.parametrize("rcx", [0, TDR, (1 << 64) - 1])
def test_reclaimid_succeeds_and_does_nothing(lab: Lab, rcx: int) -> None:
    created(lab)
    state, before = lab.state(), lab.sim.clock
    assert lab.ok("MNG.KEY.RECLAIMID", rcx=rcx).rcx == rcx
    assert (lab.state(), lab.sim.clock) == (state, before)
