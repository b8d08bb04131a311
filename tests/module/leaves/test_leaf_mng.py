"""TDH.MNG.CREATE, ADDCX, INIT and TDH.MR.FINALIZE: a TD is built."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.module.memory import RawPage
from tdxfuzz.module.td_params import DEFAULT

from ..lab import HINT, HKID, HKID_BIT, NEW, OUTSIDE, PARAMS, TDR, Lab, Stage, page
from ..rows import Refusal, check_refused, refusals
from ..states import at, home_paired, keys_held, nothing, range_read, read, then, torn_down

CREATE, ADDCX, INIT, FINALIZE = "MNG.CREATE", "MNG.ADDCX", "MNG.INIT", "MR.FINALIZE"


def nine_pages(lab: Lab) -> None:
    """As many TDCS pages as a TD can have."""
    lab.td(Stage.TDCX)
    for i in range(3):
        lab.ok(ADDCX, rcx=page(8, 7 + i), rdx=TDR)


create = refusals(rcx=NEW, rdx=HKID)


CREATE_REFUSALS = [
    create("HKID below", "OPERAND_INVALID|RDX", home_paired, rdx=31),
    create("HKID above", "OPERAND_INVALID|RDX", home_paired, rdx=64),
    create("HKID before page", "OPERAND_INVALID|RDX", home_paired, rdx=31, rcx=NEW + 1),
    create("not aligned", "OPERAND_INVALID|RCX", home_paired, rcx=NEW + 1),
    create("HKID bits", "OPERAND_INVALID|RCX", home_paired, rcx=NEW | HKID_BIT),
    create("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RCX", home_paired, rcx=OUTSIDE),
    create("no pair", "MISSING_PAMT_PAGE_PAIR|RCX", nothing),
    create("busy before no pair", "OPERAND_BUSY|RCX", range_read, rcx=page(0)),
    create("used", "PAGE_METADATA_INCORRECT|RCX", at(Stage.CREATED), rcx=TDR, rdx=41),
    create("page before HKID", "PAGE_METADATA_INCORRECT|RCX", at(Stage.CREATED), rcx=TDR),
    create("page before keys", "MISSING_PAMT_PAGE_PAIR|RCX", keys_held),
    create("keys held", "OPERAND_BUSY|KOT", then(home_paired, keys_held)),
    create("keys before HKID", "OPERAND_BUSY|KOT", then(at(Stage.CREATED), keys_held)),
    create("HKID in use", "HKID_NOT_FREE", at(Stage.CREATED)),
    create("the module's own HKID", "HKID_NOT_FREE", home_paired, rdx=32),
]


@pytest.mark.parametrize("row", CREATE_REFUSALS, ids=str)
def test_create_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    regs = check_refused(lab, CREATE, row).regs
    assert (regs.rcx, regs.rdx) == (row.registers["rcx"], row.registers["rdx"])


def test_create_makes_a_tdr_and_counts_its_page(lab: Lab) -> None:
    home_paired(lab)
    regs = lab.ok(CREATE, rcx=NEW, rdx=HKID)
    assert (regs.rcx, regs.rdx) == (NEW, HKID)
    assert lab.state()["pages"] == [[hex(NEW), 1, "TDR", "0x0"]]
    assert lab.state()["kot"] == {"40": ["ASSIGNED", 0]}
    assert lab.node(8).page_count.value == 1
    assert lab.held() == {}


def test_an_hkid_in_teardown_is_not_free_until_it_is_freed(lab: Lab) -> None:
    lab.td(Stage.CREATED)
    lab.ok("MNG.VPFLUSHDONE", rcx=TDR)
    assert lab.call(CREATE, rcx=NEW, rdx=HKID).text == "HKID_NOT_FREE"


addcx = refusals(rcx=NEW, rdx=TDR)


ADDCX_REFUSALS = [
    addcx("TDR not aligned", "OPERAND_INVALID|RDX", at(Stage.KEYS), rdx=TDR + 1),
    addcx("TDR before page", "OPERAND_INVALID|RDX", at(Stage.KEYS), rdx=TDR + 1, rcx=NEW + 1),
    addcx("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RDX", at(Stage.KEYS), rdx=OUTSIDE),
    addcx("no TDR", "PAGE_METADATA_INCORRECT|RDX", at(Stage.KEYS), rdx=NEW),
    addcx("TDR held", "OPERAND_BUSY|RDX", then(at(Stage.KEYS), read(TDR))),
    addcx("keys missing", "TD_KEYS_NOT_CONFIGURED", at(Stage.CREATED)),
    addcx("teardown", "TD_KEYS_NOT_CONFIGURED", torn_down),
    addcx("keys before page", "TD_KEYS_NOT_CONFIGURED", at(Stage.CREATED), rcx=NEW + 1),
    addcx("too many", "TDCX_NUM_INCORRECT", nine_pages),
    addcx("too many before page", "TDCX_NUM_INCORRECT", nine_pages, rcx=NEW + 1),
    addcx("page not aligned", "OPERAND_INVALID|RCX", at(Stage.KEYS), rcx=NEW + 1),
    addcx("page is the TDR", "OPERAND_BUSY|RCX", at(Stage.KEYS), rcx=TDR),
    addcx("page used", "PAGE_METADATA_INCORRECT|RCX", at(Stage.TDCX), rcx=page(8, 1)),
    addcx("page unpaired", "MISSING_PAMT_PAGE_PAIR|RCX", at(Stage.KEYS), rcx=page(0)),
    addcx("page held", "OPERAND_BUSY|RCX", then(at(Stage.KEYS), read(NEW))),
    addcx("seventh once initialised", "OP_STATE_INCORRECT|INITIALIZED", at(Stage.INIT)),
    addcx("seventh once runnable", "OP_STATE_INCORRECT|RUNNABLE", at(Stage.RUNNABLE)),
    addcx("page before state", "PAGE_METADATA_INCORRECT|RCX", at(Stage.INIT), rcx=page(8, 1)),
]


@pytest.mark.parametrize("row", ADDCX_REFUSALS, ids=str)
def test_addcx_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    check_refused(lab, ADDCX, row)


def test_addcx_gives_a_page_to_the_td(lab: Lab) -> None:
    td = lab.td(Stage.KEYS)
    regs = lab.ok(ADDCX, rcx=NEW, rdx=TDR)
    assert (regs.rcx, regs.rdx) == (NEW, TDR)
    assert (td.structure.num_tdcx, td.structure.chldcnt.value) == (1, 1)
    assert lab.state()["pages"] == [
        [hex(TDR), 1, "TDR", "0x0"],
        [hex(NEW), 1, "TDCX", hex(TDR)],
    ]
    assert lab.node(8).page_count.value == 2


init = refusals(rcx=TDR, rdx=PARAMS)


INIT_REFUSALS = [
    init("no TDR", "PAGE_METADATA_INCORRECT|RCX", at(Stage.TDCX), rcx=NEW),
    init("not aligned", "OPERAND_INVALID|RCX", at(Stage.TDCX), rcx=TDR + 2),
    init("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RCX", at(Stage.TDCX), rcx=OUTSIDE),
    init("TDR held", "OPERAND_BUSY|RCX", then(at(Stage.TDCX), read(TDR))),
    init("keys missing", "TD_KEYS_NOT_CONFIGURED", at(Stage.CREATED)),
    init("pages missing", "TDCS_NOT_ALLOCATED", at(Stage.KEYS)),
    init("pages before state", "TDCS_NOT_ALLOCATED", at(Stage.KEYS), rdx=PARAMS + 1),
    init("initialised already", "OP_STATE_INCORRECT|INITIALIZED", at(Stage.INIT)),
    init("state before params", "OP_STATE_INCORRECT|INITIALIZED", at(Stage.INIT), rdx=1),
    init("params not aligned", "OPERAND_INVALID|RDX", at(Stage.TDCX), rdx=PARAMS + 512),
    init("params with private HKID", "OPERAND_INVALID|RDX", at(Stage.TDCX), rdx=PARAMS | 32 << 40),
    init("params all zero", "OPERAND_INVALID|XFAM", at(Stage.TDCX), rdx=PARAMS + 1024),
]


@pytest.mark.parametrize("row", INIT_REFUSALS, ids=str)
def test_init_refused_zeroes_rcx(lab: Lab, row: Refusal) -> None:
    assert check_refused(lab, INIT, row).regs.rcx == 0


def test_init_makes_the_td_ready_for_pages(lab: Lab) -> None:
    td = lab.td(Stage.TDCX)
    params = evolve(DEFAULT, max_vcpus=3, eptp_controls=6 | 4 << 3, config_flags=1)
    lab.module.memory.put(RawPage(PARAMS, params.to_bytes()))
    regs = lab.ok(INIT, rcx=TDR, rdx=PARAMS)
    tdcs = td.structure.tdcs
    assert (regs.rcx, regs.rdx) == (0, PARAMS)
    assert (tdcs.op_state.name, tdcs.levels, tdcs.gpa_width) == ("INITIALIZED", 5, 52)
    assert (tdcs.max_vcpus, tdcs.td_epoch.value) == (3, 1)
    assert lab.module.td_build_count.value == 1
    assert lab.held() == {}


finalize = refusals(rcx=TDR)


FINALIZE_REFUSALS = [
    finalize("not aligned", "OPERAND_INVALID|RCX", at(Stage.VCPU), rcx=TDR + 1),
    finalize("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RCX", at(Stage.VCPU), rcx=OUTSIDE),
    finalize("no TDR", "PAGE_METADATA_INCORRECT|RCX", at(Stage.VCPU), rcx=NEW),
    finalize("TDR held", "OPERAND_BUSY|RCX", then(at(Stage.VCPU), read(TDR))),
    finalize("keys missing", "TD_KEYS_NOT_CONFIGURED", at(Stage.CREATED)),
    finalize("pages missing", "TDCS_NOT_ALLOCATED", at(Stage.KEYS)),
    finalize("not initialised", "OP_STATE_INCORRECT|UNINITIALIZED", at(Stage.TDCX)),
    finalize("twice", "OP_STATE_INCORRECT|RUNNABLE", at(Stage.RUNNABLE)),
    finalize("no vCPU", "NO_VCPUS", at(Stage.INIT)),
]


@pytest.mark.parametrize("row", FINALIZE_REFUSALS, ids=str)
def test_finalize_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    check_refused(lab, FINALIZE, row)


def test_finalize_lets_the_td_run(lab: Lab) -> None:
    td = lab.td(Stage.VCPU)
    assert lab.ok(FINALIZE, rcx=TDR).rcx == TDR
    assert td.structure.tdcs.op_state.name == "RUNNABLE"
    assert lab.module.td_build_count.value == 0


@pytest.mark.parametrize(("stage", "leaf"), [(Stage.TDCX, INIT), (Stage.VCPU, FINALIZE)])
def test_a_leaf_that_owns_the_tdr_does_not_lock_op_state(lab: Lab, stage: Stage, leaf: str) -> None:
    td = lab.td(stage)
    assert td.structure.tdcs.op_state_lock.acquire_ex()
    lab.ok(leaf, rcx=TDR, rdx=PARAMS)


def test_a_build_count_below_zero_is_fatal(lab: Lab) -> None:
    lab.td(Stage.VCPU)
    lab.module.td_build_count.value = 0
    assert lab.call(FINALIZE, rcx=TDR).text == "SEAMCALL_VMFAILINVALID"
    assert lab.watch.told == [("fatal", 357)]


def test_no_leaf_that_builds_a_td_gives_the_removal_hint(lab: Lab) -> None:
    td = lab.td(Stage.KEYS)
    outputs = [lab.ok(ADDCX, rcx=page(8, 1 + i), rdx=td.tdr) for i in range(6)]
    outputs += [lab.ok(INIT, rcx=TDR, rdx=PARAMS)]
    assert not any(value & HINT for regs in outputs for value in regs.as_dict().values())
