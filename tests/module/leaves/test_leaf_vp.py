"""TDH.VP.CREATE, ADDCX, INIT, FLUSH: a vCPU is built and taken off its processor."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.memory import RawPage
from tdxfuzz.module.td_params import DEFAULT

from ..lab import NEW, OUTSIDE, PARAMS, TDR, TDVPR, Lab, Stage, page
from ..rows import Refusal, check_refused, refusals
from ..states import Before, at, nothing, op_state_held, read, then, torn_down, with_vcpu

CREATE, ADDCX, INIT, FLUSH = "VP.CREATE", "VP.ADDCX", "VP.INIT", "VP.FLUSH"
SECOND = page(8, 72)


def vcpu_of(pages: int) -> Before:
    """A vCPU with so many pages, not initialised."""

    def before(lab: Lab) -> None:
        lab.td(Stage.INIT)
        lab.ok(CREATE, rcx=TDVPR, rdx=TDR)
        for i in range(1, pages):
            lab.ok(ADDCX, rcx=TDVPR + i * SIZE_4K, rdx=TDVPR)

    return before


def built(lab: Lab) -> None:
    vcpu_of(6)(lab)


def td_blocked(lab: Lab) -> None:
    """The TD lost its key, though a vCPU is there (never initialised, so never flushed)."""
    built(lab)
    lab.ok("MNG.VPFLUSHDONE", rcx=TDR)


create = refusals(rcx=NEW, rdx=TDR)


CREATE_REFUSALS = [
    create("TDR not aligned", "OPERAND_INVALID|RDX", at(Stage.INIT), rdx=TDR + 1),
    create("TDR before page", "OPERAND_INVALID|RDX", at(Stage.INIT), rdx=TDR + 1, rcx=NEW + 1),
    create("no TDR", "PAGE_METADATA_INCORRECT|RDX", at(Stage.INIT), rdx=NEW),
    create("keys missing", "TD_KEYS_NOT_CONFIGURED", at(Stage.CREATED)),
    create("teardown", "TD_KEYS_NOT_CONFIGURED", torn_down),
    create("pages missing", "TDCS_NOT_ALLOCATED", at(Stage.KEYS)),
    create("op state held", "OPERAND_BUSY|OP_STATE", then(at(Stage.TDCX), op_state_held)),
    create("not initialised", "OP_STATE_INCORRECT|UNINITIALIZED", at(Stage.TDCX)),
    create("runnable", "OP_STATE_INCORRECT|RUNNABLE", at(Stage.RUNNABLE)),
    create("state before page", "OP_STATE_INCORRECT|RUNNABLE", at(Stage.RUNNABLE), rcx=NEW + 1),
    create("page not aligned", "OPERAND_INVALID|RCX", at(Stage.INIT), rcx=NEW + 1),
    create("page is the TDR", "OPERAND_BUSY|RCX", at(Stage.INIT), rcx=TDR),
    create("page used", "PAGE_METADATA_INCORRECT|RCX", at(Stage.INIT), rcx=page(8, 1)),
    create("page unpaired", "MISSING_PAMT_PAGE_PAIR|RCX", at(Stage.INIT), rcx=page(0)),
]


@pytest.mark.parametrize("row", CREATE_REFUSALS, ids=str)
def test_create_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    check_refused(lab, CREATE, row)


def test_create_only_shares_the_tdr(lab: Lab) -> None:
    then(at(Stage.INIT), read(TDR))(lab)
    assert lab.call(CREATE, rcx=NEW, rdx=TDR).text == "SUCCESS"


def test_create_makes_a_tdvpr(lab: Lab) -> None:
    td = lab.td()
    children, count = td.structure.chldcnt.value, lab.node(8).page_count.value
    regs = lab.ok(CREATE, rcx=TDVPR, rdx=TDR)
    assert (regs.rcx, regs.rdx) == (TDVPR, TDR)
    assert (lab.entry(TDVPR).pt, lab.entry(TDVPR).owner_hpa) == (6, TDR)
    assert td.structure.chldcnt.value == children + 1
    assert lab.node(8).page_count.value == count + 1
    assert td.structure.tdcs.num_vcpus == 0
    assert lab.held() == {}


addcx = refusals(rcx=NEW, rdx=TDVPR)


ADDCX_REFUSALS = [
    addcx("TDVPR not aligned", "OPERAND_INVALID|RDX", built, rdx=TDVPR + 1),
    addcx("no TDVPR", "PAGE_METADATA_INCORRECT|RDX", built, rdx=TDR),
    addcx("TDVPR before page", "PAGE_METADATA_INCORRECT|RDX", built, rdx=TDR, rcx=NEW + 1),
    addcx("TDVPR held", "OPERAND_BUSY|RDX", then(built, read(TDVPR))),
    addcx("keys gone", "TD_KEYS_NOT_CONFIGURED", td_blocked),
    addcx("op state held", "OPERAND_BUSY|OP_STATE", then(built, op_state_held)),
    addcx("initialised", "VCPU_STATE_INCORRECT|RDX", with_vcpu),
    addcx("too many", "TDCX_NUM_INCORRECT", vcpu_of(15)),
    addcx("too many before page", "TDCX_NUM_INCORRECT", vcpu_of(15), rcx=NEW + 1),
    addcx("page not aligned", "OPERAND_INVALID|RCX", built, rcx=NEW + 1),
    addcx("page is the TDVPR", "OPERAND_BUSY|RCX", built, rcx=TDVPR),
    addcx("page is the TDR", "OPERAND_BUSY|RCX", built, rcx=TDR),
    addcx("page used", "PAGE_METADATA_INCORRECT|RCX", built, rcx=page(8, 1)),
    addcx("page unpaired", "MISSING_PAMT_PAGE_PAIR|RCX", built, rcx=page(0)),
]


@pytest.mark.parametrize("row", ADDCX_REFUSALS, ids=str)
def test_addcx_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    check_refused(lab, ADDCX, row)


def test_addcx_gives_a_page_to_the_vcpu_in_the_name_of_its_td(lab: Lab) -> None:
    vcpu_of(1)(lab)
    lab.ok(ADDCX, rcx=NEW, rdx=TDVPR)
    assert (lab.entry(NEW).pt, lab.entry(NEW).owner_hpa) == (5, TDR)
    assert lab.module.tdvps_at(TDVPR).num_pages == 2
    assert lab.module.tdr_at(TDR).chldcnt.value == 6 + 2


def test_addcx_releases_the_tdvpr_first(lab: Lab) -> None:
    built(lab)
    events = lab.record()
    lab.ok(ADDCX, rcx=NEW, rdx=TDVPR)
    g, r = "PAMT_1G[0x100000000]", f"PAMT_2M[{page(8):#x}]"
    released = [event.split()[-1] for event in events if event.startswith("rel")]
    assert released == [
        *(f"PAMT_4K[{TDVPR:#x}]", r, g),
        *(f"PAMT_4K[{NEW:#x}]", r, g),
        f"OP_STATE[{TDR:#x}]",
        f"PAMT_4K[{TDR:#x}]",
    ]


init = refusals(rcx=TDVPR)


INIT_REFUSALS = [
    init("not aligned", "OPERAND_INVALID|RCX", built, rcx=TDVPR + 1),
    init("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RCX", built, rcx=OUTSIDE),
    init("no TDVPR", "PAGE_METADATA_INCORRECT|RCX", built, rcx=TDR),
    init("TDVPR held", "OPERAND_BUSY|RCX", then(built, read(TDVPR))),
    init("keys gone", "TD_KEYS_NOT_CONFIGURED", td_blocked),
    init("pages missing", "TDCX_NUM_INCORRECT", vcpu_of(5)),
    init("runnable", "OP_STATE_INCORRECT|RUNNABLE", at(Stage.RUNNABLE)),
    init("initialised already", "VCPU_STATE_INCORRECT|RDX", with_vcpu),
]


@pytest.mark.parametrize("row", INIT_REFUSALS, ids=str)
def test_init_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    check_refused(lab, INIT, row)


def test_no_more_vcpus_than_the_parameters_allow(lab: Lab) -> None:
    td = lab.td(Stage.TDCX)
    params = evolve(DEFAULT, max_vcpus=1)
    lab.module.memory.put(RawPage(PARAMS, params.to_bytes()))
    lab.ok("MNG.INIT", rcx=TDR, rdx=PARAMS)
    td.vcpu(0)
    td.vcpu(1, init=False)
    check_refused(lab, INIT, init("", "MAX_VCPUS_EXCEEDED", nothing, rcx=SECOND))


@pytest.mark.parametrize(("pages", "status"), [(8, "TDCX_NUM_INCORRECT"), (9, "SUCCESS")])
def test_each_l2_vm_costs_a_vcpu_three_pages_more(lab: Lab, pages: int, status: str) -> None:
    lab.td(Stage.TDCX)
    lab.ok("MNG.ADDCX", rcx=page(8, 7), rdx=TDR)
    lab.module.memory.put(RawPage(PARAMS, evolve(DEFAULT, num_l2_vms=1).to_bytes()))
    lab.ok("MNG.INIT", rcx=TDR, rdx=PARAMS)
    lab.ok(CREATE, rcx=TDVPR, rdx=TDR)
    for i in range(1, pages):
        lab.ok(ADDCX, rcx=TDVPR + i * SIZE_4K, rdx=TDVPR)
    assert lab.call(INIT, rcx=TDVPR).text == status


def with_apic_ids(*ids: int) -> Before:
    """One vCPU per x2APIC id, and another one not initialised."""

    def before(lab: Lab) -> None:
        td = lab.td()
        for i, apic_id in enumerate(ids):
            lab.ok(INIT, 0, 1, rcx=td.vcpu(i, init=False), r8=apic_id)
        td.vcpu(len(ids), init=False)

    return before


@pytest.mark.parametrize(
    ("r8", "status"),
    [
        (9, "SUCCESS"),
        (7, "X2APIC_ID_NOT_UNIQUE|RDI"),
        (0xFFFFFFFF, "SUCCESS"),
        (1 << 32, "OPERAND_INVALID|R8"),
    ],
)
def test_version_1_takes_a_unique_x2apic_id(lab: Lab, r8: int, status: str) -> None:
    with_apic_ids(7)(lab)
    assert lab.call(INIT, 0, 1, rcx=SECOND, r8=r8).text == status
    assert lab.held() == {}


def test_version_1_holds_the_tdr_exclusive_and_version_0_shares_it(lab: Lab) -> None:
    with_apic_ids()(lab)
    assert lab.entry(TDR).acquire_sh()
    assert lab.call(INIT, 0, 1, rcx=TDVPR, r8=0).text == "OPERAND_BUSY|TDR"
    assert lab.call(INIT, 0, 0, rcx=TDVPR).text == "SUCCESS"


def two_processors(lab: Lab) -> None:
    """The vCPU runs on another processor than the one that will call."""
    with_vcpu(lab)
    lab.module.tdvps_at(TDVPR).assoc_lp = 1


FLUSH_REFUSALS = [
    init("not aligned", "OPERAND_INVALID|RCX", with_vcpu, rcx=TDVPR + 1),
    init("no TDVPR", "PAGE_METADATA_INCORRECT|RCX", with_vcpu, rcx=TDR),
    init("TDVPR held", "OPERAND_BUSY|RCX", then(with_vcpu, read(TDVPR))),
    init("keys gone", "TD_KEYS_NOT_CONFIGURED", td_blocked),
    init("pages missing", "TDCX_NUM_INCORRECT", vcpu_of(5)),
    init("never associated", "VCPU_NOT_ASSOCIATED", built),
    init("on another processor", "VCPU_NOT_ASSOCIATED", two_processors),
]


@pytest.mark.parametrize("row", FLUSH_REFUSALS, ids=str)
def test_flush_is_refused_in_this_order(lab: Lab, row: Refusal) -> None:
    check_refused(lab, FLUSH, row)


def test_a_vcpu_is_flushed_where_it_is_and_only_once(lab: Lab) -> None:
    td = lab.td(Stage.VCPU)
    assert lab.ok(FLUSH, rcx=TDVPR).rcx == TDVPR
    assert td.structure.tdcs.num_assoc_vcpus == 0
    assert lab.call(FLUSH, rcx=TDVPR).text == "VCPU_NOT_ASSOCIATED"
    assert lab.held() == {}
