"""The host-side leaves: their numbers, names, versions and operands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.abi import BY_NUMBER, LEAVES, Leaf, UnknownLeafError, find
from tdxfuzz.abi.registers import NAMES

PUBLIC_NUMBERS = {
    "TDH.VP.ENTER": 0,
    "TDH.MNG.ADDCX": 1,
    "TDH.MEM.PAGE.ADD": 2,
    "TDH.MEM.SEPT.ADD": 3,
    "TDH.VP.ADDCX": 4,
    "TDH.MEM.PAGE.RELOCATE": 5,
    "TDH.MEM.PAGE.AUG": 6,
    "TDH.MEM.RANGE.BLOCK": 7,
    "TDH.MNG.KEY.CONFIG": 8,
    "TDH.MNG.CREATE": 9,
    "TDH.VP.CREATE": 10,
    "TDH.MNG.RD": 11,
    "TDH.MEM.PAGE.DEMOTE": 15,
    "TDH.MR.EXTEND": 16,
    "TDH.MR.FINALIZE": 17,
    "TDH.VP.FLUSH": 18,
    "TDH.MNG.VPFLUSHDONE": 19,
    "TDH.MNG.KEY.FREEID": 20,
    "TDH.MNG.INIT": 21,
    "TDH.VP.INIT": 22,
    "TDH.MEM.PAGE.PROMOTE": 23,
    "TDH.PHYMEM.PAGE.RDMD": 24,
    "TDH.VP.RD": 26,
    "TDH.PHYMEM.PAGE.RECLAIM": 28,
    "TDH.MEM.PAGE.REMOVE": 29,
    "TDH.MEM.SEPT.REMOVE": 30,
    "TDH.SYS.KEY.CONFIG": 31,
    "TDH.SYS.INIT": 33,
    "TDH.SYS.RD": 34,
    "TDH.SYS.LP.INIT": 35,
    "TDH.SYS.TDMR.INIT": 36,
    "TDH.MEM.TRACK": 38,
    "TDH.MEM.RANGE.UNBLOCK": 39,
    "TDH.PHYMEM.CACHE.WB": 40,
    "TDH.PHYMEM.PAGE.WBINVD": 41,
    "TDH.VP.WR": 43,
    "TDH.SYS.CONFIG": 45,
    "TDH.PHYMEM.PAMT.ADD": 58,
    "TDH.PHYMEM.PAMT.REMOVE": 59,
}
"""From Linux's ``arch/x86/virt/vmx/tdx/tdx.h`` and the recordings of the real module."""


@pytest.mark.parametrize(("name", "number"), PUBLIC_NUMBERS.items())
def test_leaves_have_their_public_numbers(name: str, number: int) -> None:
    assert find(name).number == number
    assert find(number).name == name


def test_numbers_and_names_are_unique() -> None:
    assert len({leaf.number for leaf in LEAVES}) == len(LEAVES)
    assert len({leaf.name for leaf in LEAVES}) == len(LEAVES)
    assert len({leaf.identifier for leaf in LEAVES}) == len(LEAVES)
    assert [leaf.number for leaf in LEAVES] == sorted(BY_NUMBER)


def test_pamt_add_takes_a_range_and_a_pair_and_gives_nothing_back() -> None:
    leaf = find("PHYMEM.PAMT.ADD")

    assert list(leaf.inputs) == ["rcx", "rdx", "r8"]
    assert leaf.inputs["rcx"] == "2MB range HPA | 1"
    assert leaf.outputs == {}
    assert leaf.versions == (0,)


def test_pamt_remove_gives_the_pair_back() -> None:
    leaf = find("PHYMEM.PAMT.REMOVE")

    assert list(leaf.inputs) == ["rcx"]
    assert leaf.outputs == {"rdx": "PAMT page 0 HPA", "r8": "PAMT page 1 HPA"}


def test_demote_takes_the_new_pair_in_r12_and_r13() -> None:
    inputs = find("MEM.PAGE.DEMOTE").inputs

    assert (inputs["r12"], inputs["r13"]) == ("PAMT page 0 HPA", "PAMT page 1 HPA")


def test_the_hint_is_in_rcx_except_for_reclaim() -> None:
    hinting = {
        leaf.identifier: register
        for leaf in LEAVES
        for register, meaning in leaf.outputs.items()
        if "hint in bit 62" in meaning
    }

    assert hinting == {
        "MEM_PAGE_RELOCATE": "rcx",
        "MEM_PAGE_PROMOTE": "rcx",
        "MEM_PAGE_REMOVE": "rcx",
        "MEM_SEPT_REMOVE": "rcx",
        "PHYMEM_PAGE_RECLAIM": "r9",
    }


@pytest.mark.parametrize("name", ["MEM.SEPT.ADD", "MEM.PAGE.PROMOTE", "MEM.SEPT.REMOVE", "VP.INIT"])
def test_leaves_known_with_two_versions_accept_both(name: str) -> None:
    assert find(name).versions == (0, 1)


def test_every_leaf_accepts_version_0() -> None:
    assert [leaf.name for leaf in LEAVES if 0 not in leaf.versions] == []


def test_operands_are_registers_of_the_call() -> None:
    assert {name for leaf in LEAVES for name in (*leaf.inputs, *leaf.outputs)} <= set(NAMES)


@given(st.sampled_from(LEAVES), st.booleans(), st.booleans(), st.booleans())
def test_a_leaf_is_found_however_its_name_is_written(
    leaf: Leaf, prefixed: bool, underscores: bool, lower: bool
) -> None:
    name = leaf.name if prefixed else leaf.name.removeprefix("TDH.")
    name = name.replace(".", "_") if underscores else name

    assert find(name.lower() if lower else name) is leaf


def test_every_leaf_is_found_by_number_and_by_identifier() -> None:
    assert tuple(find(leaf.number) for leaf in LEAVES) == LEAVES
    assert tuple(find(leaf.identifier) for leaf in LEAVES) == LEAVES


def test_a_leaf_prints_as_its_name() -> None:
    assert str(find(58)) == "TDH.PHYMEM.PAMT.ADD"
    assert find(58).identifier == "PHYMEM_PAMT_ADD"


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownLeafError, match=r"did you mean TDH\.PHYMEM\.PAMT\.ADD,"):
        find("phymem_pamt_ad")


def test_a_name_like_no_leaf_is_answered_without_a_guess() -> None:
    with pytest.raises(UnknownLeafError, match=r"^unknown leaf 'qqqqqqqqqqqqqqqqqqqq'$"):
        find("q" * 20)


@pytest.mark.parametrize("number", [-1, 42, 60, 1 << 16])
def test_a_number_no_leaf_has_is_an_error(number: int) -> None:
    with pytest.raises(UnknownLeafError, match=f"no host leaf {number}$"):
        find(number)


def test_an_unknown_leaf_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"1\.5\.25"):
        find(99)
