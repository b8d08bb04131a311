"""The tables of status codes and operand ids, against the public ones."""

from __future__ import annotations

import pytest

from tdxfuzz.abi import CODES, OPERANDS, code, status

PUBLIC_WORDS = {
    "SUCCESS": 0,
    "NON_RECOVERABLE_VCPU": 0x4000_0001_0000_0000,
    "NON_RECOVERABLE_TD_NON_ACCESSIBLE": 0x6000_0005_0000_0000,
    "INTERRUPTED_RESUMABLE": 0x8000_0003_0000_0000,
    "INTERRUPTED_RESTARTABLE": 0x8000_0004_0000_0000,
    "OPERAND_INVALID": 0xC000_0100_0000_0000,
    "OPERAND_ADDR_RANGE_ERROR": 0xC000_0101_0000_0000,
    "OPERAND_BUSY": 0x8000_0200_0000_0000,
    "PREVIOUS_TLB_EPOCH_BUSY": 0x8000_0201_0000_0000,
    "RND_NO_ENTROPY": 0x8000_0203_0000_0000,
    "OPERAND_BUSY_HOST_PRIORITY": 0x8000_0204_0000_0000,
    "INTERRUPTED_BUSY": 0x8000_0206_0000_0000,
    "PAGE_METADATA_INCORRECT": 0xC000_0300_0000_0000,
    "PAGE_NOT_FREE": 0xC000_0303_0000_0000,
    "HPA_RANGE_NOT_FREE": 0xC000_0304_0000_0000,
    "NO_PAMT_PAGE_PAIR": 0xC000_0305_0000_0000,
    "PAMT_PAGE_NOT_EMPTY": 0xC000_0306_0000_0000,
    "INTERRUPTED_PAMT": 0x8000_0307_0000_0000,
    "MISSING_PAMT_PAGE_PAIR": 0x8000_0308_0000_0000,
    "TD_ASSOCIATED_PAGES_EXIST": 0xC000_0400_0000_0000,
    "TDCS_NOT_ALLOCATED": 0xC000_0606_0000_0000,
    "LIFECYCLE_STATE_INCORRECT": 0xC000_0607_0000_0000,
    "OP_STATE_INCORRECT": 0xC000_0608_0000_0000,
    "VCPU_NOT_ASSOCIATED": 0x8000_0702_0000_0000,
    "KEY_GENERATION_FAILED": 0x8000_0800_0000_0000,
    "TD_KEYS_NOT_CONFIGURED": 0x8000_0810_0000_0000,
    "WBCACHE_NOT_COMPLETE": 0x8000_0817_0000_0000,
    "HKID_NOT_FREE": 0xC000_0820_0000_0000,
    "NO_HKID_READY_TO_WBCACHE": 0x0000_0821_0000_0000,
    "FLUSHVP_NOT_DONE": 0x8000_0824_0000_0000,
    "TDMR_ALREADY_INITIALIZED": 0x0000_0A03_0000_0000,
    "EPT_WALK_FAILED": 0xC000_0B00_0000_0000,
    "GPA_RANGE_NOT_BLOCKED": 0xC000_0B06_0000_0000,
    "GPA_RANGE_ALREADY_BLOCKED": 0x0000_0B07_0000_0000,
    "TLB_TRACKING_NOT_DONE": 0xC000_0B08_0000_0000,
    "EPT_ENTRY_STATE_INCORRECT": 0xC000_0B0D_0000_0000,
    "EPT_PAGE_NOT_FREE": 0xC000_0B0E_0000_0000,
    "METADATA_FIELD_NOT_READABLE": 0xC000_0C02_0000_0000,
}
"""From Linux's ``tdx_errno.h``, Intel's published headers and recordings of the real module."""

PUBLIC_OPERANDS = {
    "RAX": 0,
    "RCX": 1,
    "RDX": 2,
    "R8": 8,
    "R9": 9,
    "R10": 10,
    "R11": 11,
    "R12": 12,
    "R13": 13,
    "TDR": 128,
    "SEPT_TREE": 146,
    "TD_EPOCH": 169,
    "OP_STATE": 172,
    "KOT": 186,
    "WBCACHE": 188,
}


@pytest.mark.parametrize(("name", "word"), PUBLIC_WORDS.items())
def test_codes_have_their_public_values(name: str, word: int) -> None:
    assert code(name) == word


@pytest.mark.parametrize(("name", "number"), PUBLIC_OPERANDS.items())
def test_operands_have_their_public_ids(name: str, number: int) -> None:
    assert OPERANDS[name] == number


def test_no_two_names_share_a_number() -> None:
    assert len(set(CODES.values())) == len(CODES)
    assert len(set(OPERANDS.values())) == len(OPERANDS)


def test_every_code_goes_from_name_to_number_and_back() -> None:
    words = {name: status(code(name)) for name in CODES}

    assert {name: word.name for name, word in words.items()} == {name: name for name in CODES}
    assert {name: word.code for name, word in words.items()} == CODES
    assert {word.detail for word in words.values()} == {0}


def test_no_code_uses_the_reserved_bits_59_to_48() -> None:
    assert [name for name, number in CODES.items() if number & 0x0FFF_0000] == []


def test_no_code_of_the_module_is_in_the_class_of_the_host() -> None:
    assert [name for name in CODES if status(code(name)).is_software] == []


def test_every_operand_goes_from_name_to_number_and_back() -> None:
    busy = code("OPERAND_BUSY")

    assert {status(busy | number).operand: number for number in OPERANDS.values()} == OPERANDS


def test_a_number_that_is_no_operand_names_none() -> None:
    assert status(code("OPERAND_BUSY") | 4).operand == ""


def test_a_name_no_header_defines_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="OPERAND_BUZY"):
        code("OPERAND_BUZY")
