"""The guest-side leaves: numbers, names and versions."""

from __future__ import annotations

from tdxfuzz.abi import GUEST_BY_NAME, GUEST_BY_NUMBER, GUEST_LEAVES
from tdxfuzz.abi.registers import NAMES

PUBLIC_NUMBERS = {
    "TDG.VP.VMCALL": 0,
    "TDG.VP.INFO": 1,
    "TDG.MR.RTMR.EXTEND": 2,
    "TDG.VP.VEINFO.GET": 3,
    "TDG.MR.REPORT": 4,
    "TDG.VP.CPUIDVE.SET": 5,
    "TDG.MEM.PAGE.ACCEPT": 6,
    "TDG.VM.RD": 7,
    "TDG.VM.WR": 8,
    "TDG.MEM.PAGE.ATTR.RD": 23,
    "TDG.MEM.PAGE.ATTR.WR": 24,
    "TDG.VP.ENTER": 25,
}


def test_known_numbers_match_the_public_interface() -> None:
    known = {name: GUEST_BY_NAME[name].number for name in PUBLIC_NUMBERS}
    assert known == PUBLIC_NUMBERS


def test_names_and_numbers_are_unique() -> None:
    assert len(GUEST_BY_NUMBER) == len(GUEST_BY_NAME) == len(GUEST_LEAVES)


def test_only_two_leaves_have_a_second_version() -> None:
    with_versions = {str(leaf) for leaf in GUEST_LEAVES if leaf.versions == (0, 1)}
    assert with_versions == {"TDG.VM.RD", "TDG.VP.VEINFO.GET"}


def test_operands_are_registers_of_the_call() -> None:
    for leaf in GUEST_LEAVES:
        assert set(leaf.inputs) | set(leaf.outputs) <= set(NAMES)
