"""The control structures of a TD: what each stage of building it leaves there."""

from __future__ import annotations

import pytest

from tdxfuzz.module.sept import SeptPage
from tdxfuzz.module.td import NO_LP, Lifecycle, OpState, Tdcs, TdcxPage, Tdr, Tdvps
from tdxfuzz.sim import Simulator

from .lab import HKID, TDR, TDVPR, Lab, Stage, page


def test_a_new_tdr_has_its_hkid_and_nothing_else() -> None:
    tdr = Tdr(Simulator(1), TDR, HKID)
    assert (tdr.hpa, tdr.hkid, tdr.owned) == (TDR, HKID, True)
    assert tdr.lifecycle is Lifecycle.HKID_ASSIGNED
    assert (tdr.chldcnt.value, tdr.num_tdcx, tdr.tdcx) == (0, 0, [])
    assert tdr.tdcs.op_state is OpState.UNINITIALIZED


def test_the_locks_of_a_td_carry_its_address() -> None:
    tdr = Tdr(Simulator(1), TDR, HKID)
    tdcs = tdr.tdcs
    locks = (tdcs.op_state_lock, tdcs.secure_ept_lock, tdcs.epoch_lock)
    assert [lock.name for lock in locks] == [
        f"OP_STATE[{TDR:#x}]",
        f"SEPT_TREE[{TDR:#x}]",
        f"TD_EPOCH[{TDR:#x}]",
    ]
    assert tdr.chldcnt.name == f"CHLDCNT[{TDR:#x}]"


@pytest.mark.parametrize(("gpaw", "width"), [(False, 48), (True, 52)])
def test_the_width_of_gpas_follows_gpaw(gpaw: bool, width: int) -> None:
    tdcs = Tdcs(Simulator(1), TDR)
    tdcs.gpaw = gpaw
    assert tdcs.gpa_width == width


@pytest.mark.parametrize(
    ("stage", "lifecycle", "op_state", "num_tdcx", "num_vcpus"),
    [
        (Stage.CREATED, "HKID_ASSIGNED", "UNINITIALIZED", 0, 0),
        (Stage.KEYS, "KEYS_CONFIGURED", "UNINITIALIZED", 0, 0),
        (Stage.TDCX, "KEYS_CONFIGURED", "UNINITIALIZED", 6, 0),
        (Stage.INIT, "KEYS_CONFIGURED", "INITIALIZED", 6, 0),
        (Stage.VCPU, "KEYS_CONFIGURED", "INITIALIZED", 6, 1),
        (Stage.RUNNABLE, "KEYS_CONFIGURED", "RUNNABLE", 6, 1),
    ],
)
def test_each_stage_of_building_a_td(
    lab: Lab, stage: Stage, lifecycle: str, op_state: str, num_tdcx: int, num_vcpus: int
) -> None:
    tdr = lab.td(stage).structure
    assert tdr.lifecycle.name == lifecycle
    assert tdr.tdcs.op_state.name == op_state
    assert (tdr.num_tdcx, tdr.tdcs.num_vcpus) == (num_tdcx, num_vcpus)


def test_every_page_but_the_tdr_counts_as_a_child(lab: Lab) -> None:
    td = lab.td(Stage.VCPU)
    assert td.structure.chldcnt.value == 6 + 6
    td.aug(page(0), level=1)
    assert td.structure.chldcnt.value == 12 + 2 + 512


def test_the_fourth_tdcs_page_is_the_root_of_the_s_ept(lab: Lab) -> None:
    td = lab.td()
    kinds = [type(lab.module.memory.at(page(8, 1 + i))) for i in range(6)]
    assert kinds == [TdcxPage, TdcxPage, TdcxPage, SeptPage, TdcxPage, TdcxPage]
    assert td.structure.tdcs.sept is not None
    assert td.structure.tdcs.sept.root is lab.module.memory.at(page(8, 4))
    assert td.structure.tdcx == [page(8, 1 + i) for i in range(6)]


def test_a_new_vcpu_is_associated_with_no_processor() -> None:
    tdvps = Tdvps(Simulator(1), TDVPR)
    assert (tdvps.assoc_lp, tdvps.initialized, tdvps.num_pages) == (NO_LP, False, 1)


def test_a_vcpu_counts_its_pages_and_remembers_its_processor() -> None:
    lab = Lab(cpus=2)
    td = lab.td()
    td.vcpu(init=False)
    tdvps = lab.module.tdvps_at(TDVPR)
    assert tdvps.num_pages == 6
    lab.ok("VP.INIT", cpu=1, rcx=TDVPR)
    assert (tdvps.assoc_lp, tdvps.vcpu_index, tdvps.initialized) == (1, 0, True)
    td.vcpu(1)
    assert lab.module.tdvps_at(page(8, 72)).vcpu_index == 1
    assert td.structure.tdcs.num_assoc_vcpus == 2


def test_a_page_that_is_no_tdr_is_not_taken_for_one(lab: Lab) -> None:
    lab.td()
    with pytest.raises(AssertionError, match=f"no TDR at {page(8, 1):#x}"):
        lab.module.tdr_at(page(8, 1))
    with pytest.raises(AssertionError, match=f"no TDVPR at {TDR:#x}"):
        lab.module.tdvps_at(TDR)


def test_lifecycle_and_op_state_have_the_numbers_of_the_module() -> None:
    assert [(s.name, s.value) for s in Lifecycle] == [
        ("HKID_ASSIGNED", 0),
        ("KEYS_CONFIGURED", 1),
        ("BLOCKED", 2),
        ("TEARDOWN", 3),
    ]
    assert [(s.name, s.value) for s in OpState] == [
        ("UNINITIALIZED", 0),
        ("INITIALIZED", 1),
        ("RUNNABLE", 2),
    ]
