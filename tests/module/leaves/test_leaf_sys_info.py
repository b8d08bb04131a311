"""TDH.SYS.INFO, RD and RDALL: what the module says of itself and of the machine."""

from __future__ import annotations

import struct

import pytest

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.call import LogicalProcessor
from tdxfuzz.module.leaves.sys_info import field_list
from tdxfuzz.module.memory import RawPage
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.sys_fields import ELEMENTS, FEATURES0, FIELDS, id_at, index_of, sequences
from tdxfuzz.module.td_fields import NO_FIELD

from ..boot import BootLab, Row, check_refused, just_loaded, row
from ..lab import DONORS, NEW, SEPT, TDR, TDVPR, Lab, Stage, page
from ..races import Ending, all_orders, call

OUT, CMRS = 1 << 26, (1 << 26) + 4096
ASK = {"rcx": OUT, "rdx": 1024, "r8": CMRS, "r9": 32}
PRIVATE = 32 << 40
TWO_CMRS = Platform(cmrs=((0, 1 << 32), (1 << 33, 1 << 34)))

VALUES = {
    0x0000_0002_0000_0000: 1,  # NUM_PKGS
    0x0800_0002_0000_0000: 0x8086,  # VENDOR_ID
    0x0800_0001_0000_0003: 5,  # MINOR_VERSION
    0x0800_0001_0000_0004: 1,  # MAJOR_VERSION
    0x0800_0001_0000_0005: 25,  # UPDATE_VERSION
    0x8900_0001_0000_0000: 1,  # MODULE_HV
    0x8900_0001_0000_0001: 0,  # MIN_UPDATE_HV
    0x8900_0000_0000_0002: 1,  # NO_DOWNGRADE
    0x0A00_0002_0000_0000: 0,  # SYS_ATTRIBUTES
    0x0A00_0000_0000_0001: 1,  # NUM_TDX_FEATURES
    0x0A00_0003_0000_0008: 0xD132_6F3F_0FBF,  # TDX_FEATURES0
    0x9000_0001_0000_0000: 32,  # NUM_CMRS
    0x9000_0003_0000_0080: 0,  # CMR_BASE
    0x9000_0003_0000_0081: 1 << 33,
    0x9000_0003_0000_009F: 0,
    0x9000_0003_0000_0100: 1 << 32,  # CMR_SIZE
    0x9000_0003_0000_0101: 1 << 34,
    0x9000_0003_0000_0102: 0,
    0x9100_0001_0000_0008: 64,  # MAX_TDMRS
    0x9100_0001_0000_0009: 16,  # MAX_RESERVED_PER_TDMR
    0x9100_0001_0000_0010: 16,  # PAMT_4K_ENTRY_SIZE
    0x9100_0001_0000_0011: 16,  # PAMT_2M_ENTRY_SIZE
    0x9100_0001_0000_0012: 16,  # PAMT_1G_ENTRY_SIZE
    0x9100_0000_0000_0013: 1,  # PAMT_PAGE_BITMAP_ENTRY_BITS
    0x9100_0000_0000_0014: 0,  # MIN_DYNAMIC_PAMT_NUM_HKID_BITS
    0x9800_0001_0000_0000: 0x1000,  # TDR_BASE_SIZE
    0x9800_0001_0000_0100: 0x6000,  # TDCS_BASE_SIZE
    0x9800_0001_0000_0101: 0x1000,  # TDCS_SIZE_PER_L2_VM
    0x9800_0001_0000_0200: 0x6000,  # TDVPS_BASE_SIZE
    0x9800_0001_0000_0201: 0x3000,  # TDVPS_SIZE_PER_L2_VM
    0x1900_0003_0000_0000: 0x8000_0000_7801_0001,  # ATTRIBUTES_FIXED0
    0x1900_0003_0000_0001: 0,  # ATTRIBUTES_FIXED1
    0x1900_0003_0000_0002: 0x6_DBE7,  # XFAM_FIXED0
    0x1900_0003_0000_0003: 3,  # XFAM_FIXED1
    0x9900_0003_0000_0006: 0x1F,  # CONFIG_FLAGS_FIXED0
    0x9900_0003_0000_0007: 0,  # CONFIG_FLAGS_FIXED1
    0x9900_0001_0000_0008: 576,  # MAX_VCPUS_PER_TD
}


def other_lp_init(lab: BootLab) -> None:
    """SYS.LP.INIT was done, but on another processor."""
    lab.ok("SYS.INIT")
    lab.lps.insert(0, LogicalProcessor(7))
    lab.ok("SYS.LP.INIT", 1)


def lp_init(lab: BootLab) -> None:
    """As early as it can be: no TDMRs yet."""
    lab.init()


REFUSED = [
    row("SYS.INFO", just_loaded, "SYS_LP_INIT_NOT_DONE", rcx=1),
    row("SYS.INFO", other_lp_init, "SYS_LP_INIT_NOT_DONE", **ASK),
    row("SYS.INFO", lp_init, "OPERAND_INVALID|RCX", rcx=OUT + 512),
    row("SYS.INFO", lp_init, "OPERAND_INVALID|RCX", **{**ASK, "rcx": OUT | PRIVATE}),
    row("SYS.INFO", lp_init, "OPERAND_INVALID|RCX", **{**ASK, "rcx": 1 << 52}),
    row("SYS.INFO", lp_init, "OPERAND_INVALID|RDX", rcx=OUT, rdx=1023, r8=1),
    row("SYS.INFO", lp_init, "OPERAND_INVALID|R8", **{**ASK, "r8": CMRS + 256, "r9": 0}),
    row("SYS.INFO", lp_init, "OPERAND_INVALID|R8", **{**ASK, "r8": CMRS | PRIVATE}),
    row("SYS.INFO", lp_init, "OPERAND_INVALID|R9", **{**ASK, "r9": 31}),
    row("SYS.RD", just_loaded, "SYS_LP_INIT_NOT_DONE", rdx=NO_FIELD),
    row("SYS.RD", other_lp_init, "SYS_LP_INIT_NOT_DONE"),
    row("SYS.RD", lp_init, "METADATA_FIELD_ID_INCORRECT", rdx=0x3F << 56),
    row("SYS.RD", lp_init, "METADATA_FIELD_ID_INCORRECT", rdx=0x9000_0003_0000_00A0),
    row("SYS.RD", lp_init, "METADATA_FIELD_ID_INCORRECT", rdx=1 << 24),
    row("SYS.RD", lp_init, "METADATA_FIELD_ID_INCORRECT", rdx=1 << 34),
    row("SYS.RD", lp_init, "METADATA_FIELD_ID_INCORRECT", rdx=1 << 38),
    row("SYS.RD", lp_init, "METADATA_FIELD_ID_INCORRECT", rdx=1 << 47),
    row("SYS.RD", lp_init, "METADATA_FIELD_ID_INCORRECT", rdx=1 << 55),
    row("SYS.RD", lp_init, "METADATA_FIELD_ID_INCORRECT", rdx=1 << 62),
    row("SYS.RDALL", just_loaded, "SYS_LP_INIT_NOT_DONE", rdx=1),
    row("SYS.RDALL", other_lp_init, "SYS_LP_INIT_NOT_DONE", rdx=OUT),
    row("SYS.RDALL", lp_init, "OPERAND_INVALID|RDX", rdx=OUT + 512, r8=1),
    row("SYS.RDALL", lp_init, "OPERAND_INVALID|RDX", rdx=OUT | PRIVATE),
    row("SYS.RDALL", lp_init, "METADATA_FIELD_ID_INCORRECT", rdx=OUT, r8=0x3F << 56),
    row("SYS.RDALL", lp_init, "METADATA_FIELD_ID_INCORRECT", rdx=OUT, r8=0x0800_0003_0000_0000),
]


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_refused_call_changes_nothing_and_resets_its_outputs(case: Row) -> None:
    result = check_refused(BootLab(), case)
    expected = dict(case.registers)
    if case.leaf == "SYS.INFO":
        expected |= {"rdx": 0, "r9": 0}
    elif case.leaf == "SYS.RD":
        expected |= {"rdx": NO_FIELD, "r8": 0}
    else:
        expected |= {"r8": NO_FIELD}
    assert {k: v for k, v in result.regs.as_dict().items() if k in expected} == expected


@pytest.mark.parametrize(("field_id", "value"), VALUES.items(), ids=[hex(i) for i in VALUES])
def test_fields_have_these_values(field_id: int, value: int) -> None:
    regs = Lab(platform=TWO_CMRS).ok("SYS.RD", rdx=field_id)
    assert regs.r8 == value


def test_all_fields_of_the_table_were_looked_at() -> None:
    assert {field.first for field in FIELDS} <= set(VALUES)


@pytest.mark.parametrize(("max_pa", "bits"), [(46, 0), (48, 0), (49, 1), (52, 4)])
def test_how_many_hkid_bits_dynamic_pamt_needs(max_pa: int, bits: int) -> None:
    lab = Lab(platform=Platform(max_pa=max_pa))
    assert lab.ok("SYS.RD", rdx=0x9100_0000_0000_0014).r8 == bits


def test_dynamic_pamt_is_bit_36_of_the_features(lab: Lab) -> None:
    assert FEATURES0["DYNAMIC_PAMT"] == 36
    assert lab.ok("SYS.RD", rdx=0x0A00_0003_0000_0008).r8 >> 36 & 1


def test_the_id_of_none_asks_for_the_first_field(lab: Lab) -> None:
    for rdx in (NO_FIELD, NO_FIELD & ~(7 << 52)):
        result = lab.call("SYS.RD", rdx=rdx, r8=8)
        assert result.text == "METADATA_FIRST_FIELD_ID_IN_CONTEXT"
        assert (result.regs.rdx, result.regs.r8) == (0x0000_0002_0000_0000, 0)


def test_each_field_names_the_next_one(lab: Lab) -> None:
    chain = [lab.call("SYS.RD", rdx=NO_FIELD).regs.rdx]
    while chain[-1] != NO_FIELD:
        chain.append(lab.ok("SYS.RD", rdx=chain[-1]).rdx)
    assert chain == [*(element.id for element in ELEMENTS), NO_FIELD]
    assert len(chain) == len(FIELDS) + 2 * 31 + 1
    assert chain[chain.index(0x9000_0003_0000_009F) + 1] == 0x9000_0003_0000_0100


@pytest.mark.parametrize("ignored", [3 << 32, 1 << 50, 1 << 51, 5 << 52, 1 << 63])
def test_size_increment_mask_context_and_bit_63_of_an_id_do_not_matter(
    lab: Lab, ignored: int
) -> None:
    regs = lab.ok("SYS.RD", rdx=0x9100_0001_0000_0008 ^ ignored)
    assert (regs.r8, regs.rdx) == (64, 0x9100_0001_0000_0009)


def test_info_writes_what_it_knows() -> None:
    lab = Lab(platform=TWO_CMRS)
    memory = lab.module.memory
    memory.write(OUT, b"\xff" * 4096)
    memory.write(CMRS, b"\xff" * 4096)
    regs = lab.ok("SYS.INFO", rcx=OUT, rdx=4096, r8=CMRS, r9=33)
    assert (regs.rdx, regs.r9) == (1024, 32)
    info = memory.read(OUT, 4096)
    assert struct.unpack_from("<IIIHHHB", info) == (0, 0x8086, 0, 0, 5, 1, 1)
    assert struct.unpack_from("<3H", info, 32) == (64, 16, 16)
    assert struct.unpack_from("<4H", info, 48) == (0x6000, 0, 0x6000, 0)
    assert struct.unpack_from("<4Q", info, 64) == (0x8000_0000_7801_0001, 0, 0x6_DBE7, 3)
    assert info[96:1024] == bytes(928)
    assert info[1024:] == b"\xff" * 3072
    entries = struct.unpack_from("<64Q", memory.read(CMRS, 512))
    assert entries == (0, 1 << 32, 1 << 33, 1 << 34, *[0] * 60)
    assert memory.read(CMRS + 512, 8) == b"\xff" * 8


@pytest.mark.parametrize("change", [{"r8": 1}, {"r9": 31}])
def test_info_clears_its_structure_before_it_looks_at_the_list(
    lab: Lab, change: dict[str, int]
) -> None:
    lab.module.memory.write(OUT, b"\xff" * 2048)
    assert lab.call("SYS.INFO", **{**ASK, **change}).status.is_error
    assert lab.module.memory.read(OUT, 2048) == bytes(1024) + b"\xff" * 1024


ANSWERS = [
    pytest.param("SYS.INFO", {"rcx": 0, "rdx": 1024, "r8": CMRS, "r9": 32}, "rcx", id="info"),
    pytest.param("SYS.INFO", {"rcx": OUT, "rdx": 1024, "r8": 0, "r9": 32}, "r8", id="cmrs"),
    pytest.param("SYS.RDALL", {"rdx": 0, "r8": NO_FIELD}, "rdx", id="rdall"),
]


@pytest.mark.parametrize("where", [TDR, SEPT, TDVPR, page(DONORS)], ids=hex)
@pytest.mark.parametrize(("leaf", "registers", "operand"), ANSWERS)
def test_an_answer_leaves_the_pages_of_the_module_alone(
    lab: Lab, leaf: str, registers: dict[str, int], operand: str, where: int
) -> None:
    td = lab.td(Stage.RUNNABLE)
    td.tables()
    before, content = lab.state(), lab.module.memory.at(where)
    lab.ok(leaf, **{**registers, operand: where})
    assert lab.module.memory.at(where) is content
    assert lab.state() == before
    td.aug(NEW)


@pytest.mark.parametrize(("leaf", "registers", "operand"), ANSWERS)
def test_an_answer_may_go_where_a_td_was(
    lab: Lab, leaf: str, registers: dict[str, int], operand: str
) -> None:
    td = lab.td(Stage.CREATED)
    td.teardown()
    lab.ok("PHYMEM.PAGE.RECLAIM", rcx=TDR)
    lab.ok(leaf, **{**registers, operand: TDR})
    assert isinstance(lab.module.memory.at(TDR), RawPage)


def test_an_answer_beside_a_page_that_is_being_taken() -> None:
    def set_up(lab: Lab) -> None:
        lab.td()

    def judge(ending: Ending) -> None:
        ending.lab.ok("VP.ADDCX", rcx=TDVPR + SIZE_4K, rdx=TDVPR)

    info = call("SYS.INFO", rcx=TDVPR, rdx=1024, r8=CMRS, r9=32)
    create = call("VP.CREATE", rcx=TDVPR, rdx=TDR)
    assert set(all_orders(set_up, info, create, judge)) == {("SUCCESS", "SUCCESS")}


def parse(content: bytes) -> list[tuple[int, tuple[int, ...]]]:
    """A metadata list as (header without the number of fields, values)."""
    size, count, reserved = struct.unpack_from("<2HI", content)
    assert reserved == 0
    at, found = 8, []
    for _ in range(count):
        (header,) = struct.unpack_from("<Q", content, at)
        number = (header >> 38 & 0x1FF) + 1
        values = struct.unpack_from(f"<{number}Q", content, at + 8)
        found.append((header & ~(0x1FF << 38), values))
        at += 8 + 8 * number
    assert at == size
    return found


def test_rdall_writes_everything_sequence_by_sequence() -> None:
    lab = Lab(platform=TWO_CMRS)
    regs = lab.ok("SYS.RDALL", rdx=OUT, r8=NO_FIELD)
    assert (regs.rdx, regs.r8) == (OUT, NO_FIELD)
    lists = parse(lab.module.memory.read(OUT, 4096))
    assert lists[1:4] == [
        (0x0800_0002_0000_0000, (0x8086,)),
        (0x0800_0001_0000_0003, (5, 1, 25)),
        (0x8900_0001_0000_0000, (1, 0)),
    ]
    assert (0x9000_0003_0000_0080, (0, 1 << 33, *[0] * 30)) in lists
    assert (0x9100_0001_0000_0010, (16, 16, 16)) in lists
    assert (0x9100_0000_0000_0013, (1, 0)) in lists
    by_id = {first + i: value for first, values in lists for i, value in enumerate(values)}
    assert by_id == {e.id: e.read(TWO_CMRS) for e in ELEMENTS}


@pytest.mark.parametrize("ignored", [0, 1 << 24, 1 << 34, 1 << 38, 5 << 52, 1 << 62, 1 << 63])
def test_rdall_can_begin_anywhere(lab: Lab, ignored: int) -> None:
    """Unlike SYS.RD it wants the right size, and nothing else."""
    lab.module.memory.write(OUT, b"\xff" * 4096)
    lab.ok("SYS.RDALL", rdx=OUT, r8=0x9900_0003_0000_0007 ^ ignored)
    content = lab.module.memory.read(OUT, 4096)
    assert parse(content) == [(0x9900_0003_0000_0007, (0,)), (0x9900_0001_0000_0008, (576,))]
    assert content[40:] == b"\xff" * 4056


@pytest.mark.parametrize(
    ("room", "runs"),
    [(15, []), (16, [1]), (24, [1]), (31, [1]), (32, [1, 1]), (48, [1, 1, 1]), (56, [1, 1, 2])],
)
def test_a_list_ends_where_the_room_does(room: int, runs: list[int]) -> None:
    """NUM_PKGS and VENDOR_ID stand alone; the three versions share a sequence."""
    assert [len(run) for run in sequences(0, room)] == runs
    content, end = field_list(Platform(), 0, 8 + room)
    assert [len(values) for _, values in parse(content)] == runs
    assert id_at(end) == ELEMENTS[sum(runs)].id


def test_a_list_that_is_cut_off_tells_where_to_go_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All fields of the model fit into a page; one of 56 bytes shows what else would be."""
    monkeypatch.setattr(
        "tdxfuzz.module.leaves.sys_info.field_list",
        lambda platform, start, size: field_list(platform, start, 56),
    )
    result = lab.call("SYS.RDALL", rdx=OUT, r8=NO_FIELD)
    assert result.text == "METADATA_LIST_OVERFLOW"
    assert result.regs.r8 == 0x0800_0001_0000_0004
    assert index_of(result.regs.r8) == 3
