"""What all TDH.MEM.* leaves check alike, in one order: TDR, TD state, GPA, tree, entry."""

from __future__ import annotations

import pytest

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.sept_state import SeptState

from ..lab import GPA, HKID_BIT, NEW, OUTSIDE, TDR, Lab, Stage, Td, page
from ..rows import Refusal, check_refused
from ..states import Before, at, nothing, op_state_held, read, then, torn_down, tree_held, written

SHARES_TREE = {
    "MEM.PAGE.AUG": 0,
    "MEM.PAGE.REMOVE": 0,
    "MEM.PAGE.RELOCATE": 0,
    "MEM.SEPT.ADD": 1,
    "MEM.PAGE.DEMOTE": 1,
}
OWNS_TREE = {
    "MEM.RANGE.BLOCK": 0,
    "MEM.RANGE.UNBLOCK": 0,
    "MEM.PAGE.PROMOTE": 1,
    "MEM.SEPT.REMOVE": 1,
}
"""Leaves by how they lock the S-EPT tree, each with a level it accepts."""
LEAVES = {**SHARES_TREE, **OWNS_TREE, "MEM.PAGE.ADD": 0}
ALL = pytest.mark.parametrize("leaf", LEAVES)
LEVELS = {
    "MEM.PAGE.ADD": {0},
    "MEM.PAGE.RELOCATE": {0},
    "MEM.PAGE.AUG": {0, 1},
    "MEM.PAGE.REMOVE": {0, 1, 2},
    "MEM.PAGE.DEMOTE": {1, 2},
    "MEM.PAGE.PROMOTE": {1, 2},
    "MEM.SEPT.ADD": {1, 2, 3},
    "MEM.SEPT.REMOVE": {1, 2, 3},
    "MEM.RANGE.BLOCK": {0, 1, 2, 3},
    "MEM.RANGE.UNBLOCK": {0, 1, 2, 3},
}
INIT = at(Stage.INIT)


def tree_read(lab: Lab) -> None:
    assert lab.module.tdr_at(TDR).tdcs.secure_ept_lock.acquire_sh()


def refuse(lab: Lab, leaf: str, status: str, before: Before, **changes: int) -> None:
    """Refused as said, with nothing reported of any entry."""
    operands = {"rcx": GPA | LEAVES[leaf], "rdx": TDR, "r8": NEW} | changes
    result = check_refused(lab, leaf, Refusal("", operands, status, before))
    assert (result.regs.rcx, result.regs.rdx) == (0, 0)


@ALL
@pytest.mark.parametrize(
    ("rdx", "status"),
    [
        pytest.param(TDR + 2, "OPERAND_INVALID|RDX", id="not aligned"),
        pytest.param(TDR | HKID_BIT, "OPERAND_INVALID|RDX", id="HKID"),
        pytest.param(TDR | 1 << 52, "OPERAND_INVALID|RDX", id="2^52"),
        pytest.param(OUTSIDE, "OPERAND_ADDR_RANGE_ERROR|RDX", id="no TDMR"),
        pytest.param(page(0), "PAGE_METADATA_INCORRECT|RDX", id="unpaired"),
        pytest.param(NEW, "PAGE_METADATA_INCORRECT|RDX", id="free page"),
        pytest.param(page(8, 1), "PAGE_METADATA_INCORRECT|RDX", id="TDCX"),
    ],
)
def test_1_the_tdr_even_if_the_gpa_is_wrong_too(lab: Lab, leaf: str, rdx: int, status: str) -> None:
    refuse(lab, leaf, status, INIT, rdx=rdx, rcx=GPA | 7)


@ALL
def test_2_a_tdr_that_somebody_writes_is_busy(lab: Lab, leaf: str) -> None:
    refuse(lab, leaf, "OPERAND_BUSY|RDX", then(at(Stage.CREATED), written(TDR)))


@ALL
def test_2_a_tdr_that_somebody_reads_is_busy_only_for_page_add(lab: Lab, leaf: str) -> None:
    then(INIT, read(TDR))(lab)
    result = lab.call(leaf, rcx=GPA | LEAVES[leaf], rdx=TDR, r8=NEW)
    assert (result.text == "OPERAND_BUSY|RDX") is (leaf == "MEM.PAGE.ADD")


@ALL
@pytest.mark.parametrize(
    ("before", "status"),
    [
        pytest.param(at(Stage.CREATED), "TD_KEYS_NOT_CONFIGURED", id="no key"),
        pytest.param(torn_down, "TD_KEYS_NOT_CONFIGURED", id="key gone"),
        pytest.param(at(Stage.KEYS), "TDCS_NOT_ALLOCATED", id="no TDCS"),
        pytest.param(at(Stage.TDCX), "OP_STATE_INCORRECT|UNINITIALIZED", id="not initialised"),
    ],
)
def test_3_the_state_of_the_td_before_the_gpa(
    lab: Lab, leaf: str, before: Before, status: str
) -> None:
    refuse(lab, leaf, status, before, rcx=GPA | 7)


@pytest.mark.parametrize("leaf", [*SHARES_TREE, *OWNS_TREE])
def test_3_op_state_is_busy_before_it_is_wrong(lab: Lab, leaf: str) -> None:
    refuse(lab, leaf, "OPERAND_BUSY|OP_STATE", then(at(Stage.TDCX), op_state_held))


@ALL
@pytest.mark.parametrize(
    "gpa",
    [
        pytest.param(GPA | 1 << 3, id="bit 3"),
        pytest.param(GPA | 1 << 11, id="bit 11"),
        pytest.param(GPA | 1 << 52, id="bit 52"),
        pytest.param(GPA | 1 << 63, id="bit 63"),
        pytest.param(1 << 47, id="shared"),
        pytest.param(1 << 46, id="above MAXPA"),
    ],
)
def test_4_the_gpa_before_the_tree(lab: Lab, leaf: str, gpa: int) -> None:
    operand = gpa | LEAVES[leaf]
    refuse(lab, leaf, "OPERAND_INVALID|RCX", then(INIT, tree_held), rcx=operand)


@pytest.mark.parametrize(("leaf", "allowed"), LEVELS.items())
@pytest.mark.parametrize("level", range(8))
def test_4_each_leaf_has_its_levels(lab: Lab, leaf: str, allowed: set[int], level: int) -> None:
    INIT(lab)
    result = lab.call(leaf, rcx=level, rdx=TDR, r8=NEW)
    assert (result.text == "OPERAND_INVALID|RCX") is (level not in allowed)


@pytest.mark.parametrize(("leaf", "allowed"), LEVELS.items())
def test_4_the_gpa_is_aligned_to_its_level(lab: Lab, leaf: str, allowed: set[int]) -> None:
    INIT(lab)
    for level in allowed - {0}:
        refuse(lab, leaf, "OPERAND_INVALID|RCX", nothing, rcx=SIZE_4K << 9 * (level - 1) | level)


@pytest.mark.parametrize("leaf", [*SHARES_TREE, *OWNS_TREE])
def test_5_the_tree_before_the_walk(lab: Lab, leaf: str) -> None:
    refuse(lab, leaf, "OPERAND_BUSY|SEPT_TREE", then(INIT, tree_held))


@pytest.mark.parametrize("leaf", [*SHARES_TREE, *OWNS_TREE])
def test_5_only_some_leaves_want_the_tree_for_themselves(lab: Lab, leaf: str) -> None:
    then(INIT, tree_read)(lab)
    result = lab.call(leaf, rcx=GPA | LEAVES[leaf], rdx=TDR, r8=NEW)
    assert (result.text == "OPERAND_BUSY|SEPT_TREE") is (leaf in OWNS_TREE)


def test_5_page_add_needs_neither_op_state_nor_tree(td: Td) -> None:
    td.tables()
    op_state_held(td.lab)
    tree_held(td.lab)
    td.lab.ok("MEM.PAGE.ADD", rcx=GPA, rdx=TDR, r8=NEW)


@ALL
@pytest.mark.parametrize(("down_to", "stops_at"), [(4, 3), (3, 2)])
def test_6_a_walk_that_ends_early_says_where(
    td: Td, leaf: str, down_to: int, stops_at: int
) -> None:
    td.tables(down_to=down_to)
    operands = {"rcx": GPA | LEAVES[leaf], "rdx": TDR, "r8": NEW + 1, "r9": 1}
    row = Refusal("", operands, "EPT_WALK_FAILED|RCX")
    regs = check_refused(td.lab, leaf, row).regs
    assert (regs.rcx, regs.rdx) == (1 << 63, stops_at | SeptState.FREE.public << 8)


@pytest.mark.parametrize("leaf", [*SHARES_TREE, *OWNS_TREE])
def test_7_an_entry_that_is_locked_is_busy_and_reported(td: Td, leaf: str) -> None:
    """Whatever its state, and before the page is looked at."""
    level = LEAVES[leaf]
    td.tables()
    sept = td.structure.tdcs.sept
    assert sept is not None
    assert sept.walk(GPA, level)[0].lock_host()
    row = Refusal("", {"rcx": GPA | level, "rdx": TDR, "r8": NEW + 1}, "OPERAND_BUSY|RCX")
    regs = check_refused(td.lab, leaf, row).regs
    assert regs.rdx == level | (SeptState.NL_MAPPED if level else SeptState.FREE).public << 8
    assert f"SEPTE[{TDR:#x},{GPA:#x},{level}]" in td.lab.host_priority()


TRACK_REFUSALS = [
    Refusal("not aligned", {"rcx": TDR + 1}, "OPERAND_INVALID|RCX", INIT),
    Refusal("no TDMR", {"rcx": OUTSIDE}, "OPERAND_ADDR_RANGE_ERROR|RCX", INIT),
    Refusal("no TDR", {"rcx": NEW}, "PAGE_METADATA_INCORRECT|RCX", INIT),
    Refusal("TDR held", {"rcx": TDR}, "OPERAND_BUSY|RCX", then(INIT, written(TDR))),
    Refusal("keys missing", {"rcx": TDR}, "TD_KEYS_NOT_CONFIGURED", at(Stage.CREATED)),
    Refusal("pages missing", {"rcx": TDR}, "TDCS_NOT_ALLOCATED", at(Stage.KEYS)),
    Refusal("op state", {"rcx": TDR}, "OPERAND_BUSY|OP_STATE", then(INIT, op_state_held)),
]


@pytest.mark.parametrize("row", TRACK_REFUSALS, ids=str)
def test_track_names_the_tdr_in_rcx_and_keeps_it(lab: Lab, row: Refusal) -> None:
    assert check_refused(lab, "MEM.TRACK", row).regs.rcx == row.registers["rcx"]
