"""TDH.MNG.RD and WR: which fields there are, and what can be read and written."""

from __future__ import annotations

import pytest

from tdxfuzz.module.platform import Platform
from tdxfuzz.module.td_fields import FIELDS, NO_FIELD, find_field

from ..guests import DEBUG, VE_DISABLE, runnable
from ..lab import HKID, NEW, TDR, Lab, Stage
from ..rows import Refusal, check_refused, refusals
from ..states import at, op_state_held, then, torn_down, written

RD, WR = "MNG.RD", "MNG.WR"
ID = {field.name: field.first for field in FIELDS}
ALL = (1 << 64) - 1
TIMEOUT = ID["HP_LOCK_TIMEOUT"]
VIRTUAL_TSC = 0x1110_0003_0000_000D


row = refusals(rcx=TDR, rdx=ID["OP_STATE"], r8=1, r9=ALL)


READY, INCORRECT = at(Stage.RUNNABLE), "METADATA_FIELD_ID_INCORRECT"
COMMON = [
    row("TDR not aligned", "OPERAND_INVALID|RCX", READY, rcx=TDR + 1),
    row("no TDR", "PAGE_METADATA_INCORRECT|RCX", READY, rcx=NEW),
    row("no TDMR", "OPERAND_ADDR_RANGE_ERROR|RCX", READY, rcx=1 << 31),
    row("TDR held", "OPERAND_BUSY|RCX", then(READY, written(TDR))),
    row("keys missing", "TD_KEYS_NOT_CONFIGURED", torn_down),
    row("pages missing", "TDCS_NOT_ALLOCATED", at(Stage.KEYS)),
    row("op state held", "OPERAND_BUSY|OP_STATE", then(READY, op_state_held)),
    row("not initialised", "OP_STATE_INCORRECT|UNINITIALIZED", at(Stage.TDCX)),
    row("no such class", INCORRECT, READY, rdx=0x3E << 56),
    row("no such code", INCORRECT, READY, rdx=ID["OP_STATE"] + 1000),
    row("no such element", INCORRECT, READY, rdx=ID["REFCOUNT"] + 2),
    row("left out", INCORRECT, READY, rdx=VIRTUAL_TSC),
    *(
        row(f"reserved bit {bit}", INCORRECT, READY, rdx=ID["OP_STATE"] ^ 1 << bit)
        for bit in (24, 31, 34, 37, 38, 46, 47, 49, 55, 62)
    ),
]


@pytest.mark.parametrize("leaf", [RD, WR])
@pytest.mark.parametrize("refusal", COMMON, ids=str)
def test_it_is_refused_in_this_order(lab: Lab, leaf: str, refusal: Refusal) -> None:
    result = check_refused(lab, leaf, refusal)
    assert (result.regs.rdx, result.regs.r8) == (refusal.registers["rdx"], 0)


RD_REFUSALS = [
    row("version", "OPERAND_INVALID|RAX", READY, version=2),
    row("none, version 0", INCORRECT, READY, rdx=NO_FIELD),
    row("debug only", "METADATA_FIELD_NOT_READABLE", READY, rdx=ID["TD_CTLS"]),
    row(
        "debug only, version 1", "METADATA_FIELD_NOT_READABLE", READY, version=1, rdx=ID["TD_CTLS"]
    ),
]


@pytest.mark.parametrize("refusal", RD_REFUSALS, ids=str)
def test_rd_is_refused_in_this_order(lab: Lab, refusal: Refusal) -> None:
    result = check_refused(lab, RD, refusal)
    assert result.regs.rdx == (NO_FIELD if refusal.version else refusal.registers["rdx"])


TOO_SHORT, TOO_LONG = 9_999, 100_000_001
WR_REFUSALS = [
    row("read only", "METADATA_FIELD_NOT_WRITABLE", READY),
    row("read only, one element", "METADATA_FIELD_NOT_WRITABLE", READY, rdx=ID["REFCOUNT"] + 1),
    row("no mask", "METADATA_FIELD_NOT_WRITABLE", READY, rdx=TIMEOUT, r8=20_000, r9=0),
    row("part", "METADATA_WR_MASK_NOT_VALID", READY, rdx=TIMEOUT, r8=20_000, r9=ALL >> 1),
    row("too short", "METADATA_FIELD_VALUE_NOT_VALID", READY, rdx=TIMEOUT, r8=TOO_SHORT),
    row("too long", "METADATA_FIELD_VALUE_NOT_VALID", READY, rdx=TIMEOUT, r8=TOO_LONG),
]


@pytest.mark.parametrize("refusal", WR_REFUSALS, ids=str)
def test_wr_is_refused_in_this_order(lab: Lab, refusal: Refusal) -> None:
    assert check_refused(lab, WR, refusal).regs.r8 == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FATAL", 0),
        ("NUM_TDCX", 6),
        ("CHLDCNT", 12),
        ("LIFECYCLE_STATE", 1),
        ("HKID", HKID),
        ("PKG_CONFIG_BITMAP", 1),
        ("NUM_VCPUS", 1),
        ("NUM_ASSOC_VCPUS", 1),
        ("OP_STATE", 2),
        ("NUM_L2_VMS", 0),
        ("ATTRIBUTES", VE_DISABLE),
        ("MAX_VCPUS", 8),
        ("GPAW", 0),
        ("HP_LOCK_TIMEOUT", 1_000_000),
        ("TD_EPOCH", 1),
        ("REFCOUNT", 0),
    ],
)
def test_what_a_field_says(lab: Lab, name: str, value: int) -> None:
    runnable(lab, VE_DISABLE)
    regs = lab.ok(RD, rcx=TDR, rdx=ID[name])
    assert (regs.r8, regs.rdx, lab.held()) == (value, ID[name], {})


@pytest.mark.parametrize(("attributes", "value"), [(DEBUG, 0), (DEBUG | VE_DISABLE, 1)])
def test_some_fields_are_a_debug_tds(lab: Lab, attributes: int, value: int) -> None:
    runnable(lab, attributes)
    assert lab.ok(RD, rcx=TDR, rdx=ID["TD_CTLS"]).r8 == value


@pytest.mark.parametrize("bit", [32, 33, 50, 51, 52, 54, 63])
def test_bits_of_an_id_that_do_not_matter(bit: int) -> None:
    found = find_field(ID["CHLDCNT"] ^ 1 << bit)
    assert found is not None
    assert (found[0].name, found[1]) == ("CHLDCNT", 0)


@pytest.mark.parametrize("debug", [0, DEBUG])
def test_version_1_leads_from_field_to_field(lab: Lab, debug: int) -> None:
    runnable(lab, debug)
    first = lab.call(RD, 0, 1, rcx=TDR, rdx=NO_FIELD, r8=5)
    assert (first.text, first.regs.r8) == ("METADATA_FIRST_FIELD_ID_IN_CONTEXT", 0)
    ids = [first.regs.rdx]
    while ids[-1] != NO_FIELD:
        ids.append(lab.ok(RD, 0, 1, rcx=TDR, rdx=ids[-1]).rdx)
    fields = [field for field in FIELDS if debug or not field.debug_only]
    assert ids == [*(f.id_of(i) for f in fields for i in range(f.elements)), NO_FIELD]


def test_no_field_means_the_first_whatever_its_context(lab: Lab) -> None:
    runnable(lab)
    assert lab.call(RD, 0, 1, rcx=TDR, rdx=NO_FIELD ^ 5 << 52).regs.rdx == FIELDS[0].first


@pytest.mark.parametrize("usec", [10_000, 2_000_000])
def test_the_patience_of_guests_can_be_set(lab: Lab, usec: int) -> None:
    td = runnable(lab)
    assert lab.ok(WR, rcx=TDR, rdx=TIMEOUT, r8=usec, r9=ALL).r8 == 1_000_000
    assert td.structure.tdcs.hp_lock_timeout.value == usec * 2000
    assert lab.ok(RD, rcx=TDR, rdx=TIMEOUT).r8 == usec


@pytest.mark.parametrize(
    ("frequency", "usec", "kept"),
    [
        (2_000_000_000, 2_147_483, 2_147_483),
        (2_000_000_000, 2_147_484, 0),
        (2_000_000_000, 3_000_000, 0xD0224),
        (1_000_000_000, 3_000_000, 3_000_000),
        (1_000_000_000, 5_000_000, 705_032),
        (3_600_000_000, 100_000_000, 977_142),
        (1_500_000, 10_001, 10_000),
    ],
)
def test_of_a_timeout_in_ticks_32_bits_are_kept(frequency: int, usec: int, kept: int) -> None:
    """In the last row, 15,001 ticks are kept, and a part of a microsecond is cut off."""
    lab = Lab(platform=Platform(tsc_frequency=frequency))
    runnable(lab)
    assert lab.ok(RD, rcx=TDR, rdx=TIMEOUT).r8 == 1_000_000
    lab.ok(WR, rcx=TDR, rdx=TIMEOUT, r8=usec, r9=ALL)
    assert lab.ok(RD, rcx=TDR, rdx=TIMEOUT).r8 == kept


def test_rd_shares_the_td(lab: Lab) -> None:
    runnable(lab)
    events = lab.record()
    lab.ok(RD, rcx=TDR, rdx=ID["OP_STATE"])
    assert [event.split()[1] for event in events if event.startswith("acq")] == ["SH"] * 4
