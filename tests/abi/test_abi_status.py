"""The status word: its parts, its predicates and how it prints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.abi import CODES, DEAD, OPERANDS, SUCCESS, Status, code, status

words = st.integers(0, (1 << 64) - 1)
BUSY_RCX = status(0x8000_0200_0000_0001)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (0x0000_0000_0000_0000, "SUCCESS"),
        (0x0000_0821_0000_0000, "NO_HKID_READY_TO_WBCACHE"),
        (0x0000_0B07_0000_0001, "GPA_RANGE_ALREADY_BLOCKED|RCX"),
        (0x8000_0004_0000_0000, "INTERRUPTED_RESTARTABLE"),
        (0x8000_0200_0000_0001, "OPERAND_BUSY|RCX"),
        (0x8000_0200_0000_000D, "OPERAND_BUSY|R13"),
        (0x8000_0200_0000_0092, "OPERAND_BUSY|SEPT_TREE"),
        (0x8000_0200_0000_00A9, "OPERAND_BUSY|TD_EPOCH"),
        (0x8000_0200_0000_00BA, "OPERAND_BUSY|KOT"),
        (0x8000_0308_0000_0008, "MISSING_PAMT_PAGE_PAIR|R8"),
        (0xC000_0100_0000_0000, "OPERAND_INVALID|RAX"),
        (0xC000_0303_0000_0002, "PAGE_NOT_FREE|RDX"),
        (0x4000_0001_0000_0002, "NON_RECOVERABLE_VCPU|exit 2"),
        (0xC000_0820_0000_0000, "HKID_NOT_FREE"),
        (0xC000_0101_0000_5555, "OPERAND_ADDR_RANGE_ERROR|0x5555"),
    ],
)
def test_a_word_prints_as_its_name_and_operand(word: int, text: str) -> None:
    assert str(status(word)) == text


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        (0, "OP_STATE_INCORRECT|UNINITIALIZED"),
        (1, "OP_STATE_INCORRECT|INITIALIZED"),
        (2, "OP_STATE_INCORRECT|RUNNABLE"),
        (12, "OP_STATE_INCORRECT|12"),
    ],
)
def test_op_state_incorrect_prints_the_state_not_an_operand(detail: int, text: str) -> None:
    assert str(status(code("OP_STATE_INCORRECT") | detail)) == text


@pytest.mark.parametrize("name", ["PAGE_ALREADY_ACCEPTED", "PAGE_SIZE_MISMATCH"])
@pytest.mark.parametrize("level", [0, 1])
def test_statuses_of_an_accept_print_a_level(name: str, level: int) -> None:
    assert str(status(code(name) | level)) == f"{name}|level {level}"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (0xC000_0A00_0000_0001, "INVALID_TDMR|TDMR 1"),
        (0xC000_0A01_0000_003F, "NON_ORDERED_TDMR|TDMR 63"),
        (0xC000_0A02_0000_0000, "TDMR_OUTSIDE_CMRS|TDMR 0"),
        (0xC000_0A10_0000_0201, "INVALID_PAMT|TDMR 1 level 2"),
        (0xC000_0A11_0000_0100, "PAMT_OUTSIDE_CMRS|TDMR 0 level 1"),
        (0xC000_0B0F_0001_0003, "L2_SEPT_WALK_FAILED|VM 1 level 3"),
        (0xC000_0B10_0003_0002, "L2_SEPT_ENTRY_NOT_FREE|VM 3 level 2"),
        (0xC000_0A12_0003_0002, "PAMT_OVERLAP|TDMR 2 level 0 and TDMR 3"),
        (0xC000_0A20_0000_0F00, "INVALID_RESERVED_IN_TDMR|TDMR 0 area 15"),
        (0xC000_0A21_0000_0001, "NON_ORDERED_RESERVED_IN_TDMR|TDMR 1 area 0"),
    ],
)
def test_statuses_of_sys_config_print_which_tdmr(word: int, text: str) -> None:
    assert str(status(word)) == text


@pytest.mark.parametrize("page", [0, 1])
def test_pamt_page_not_empty_prints_which_page(page: int) -> None:
    word = status(code("PAMT_PAGE_NOT_EMPTY") | page)

    assert str(word) == f"PAMT_PAGE_NOT_EMPTY|page {page}"


def test_a_code_no_header_defines_prints_all_its_bits_and_what_its_class_is_about() -> None:
    word = status(0xC000_0501_0000_0001)
    assert str(word) == "0xc000050100000001"
    assert word.in_full == "0xc000050100000001 (not defined; class state of the module)"
    assert status(1 << 40 | 0x77 << 40).in_full.endswith("(not defined; class 0x77)")


def test_a_word_in_full_is_its_name_and_its_number() -> None:
    assert BUSY_RCX.in_full == "OPERAND_BUSY|RCX (0x8000020000000001)"
    assert status(5).in_full == "SUCCESS (0x0000000000000005)"


def test_each_class_of_a_code_has_words() -> None:
    assert all(status(word << 32).class_name for word in CODES.values())


def test_repr_shows_the_word_and_the_name() -> None:
    assert repr(BUSY_RCX) == "Status(0x8000020000000001: OPERAND_BUSY|RCX)"


def test_success_is_ok_and_nothing_else() -> None:
    assert SUCCESS == 0
    assert SUCCESS.ok
    assert not SUCCESS.is_error
    assert not SUCCESS.is_recoverable
    assert not SUCCESS.busy


def test_information_is_ok_but_not_success() -> None:
    information = status(code("GPA_RANGE_ALREADY_BLOCKED"))

    assert information.ok
    assert not information.is_error
    assert information != SUCCESS


def test_operand_busy_is_a_recoverable_error_of_the_busy_class() -> None:
    assert BUSY_RCX.busy
    assert BUSY_RCX.is_error
    assert BUSY_RCX.is_recoverable
    assert BUSY_RCX.class_id == 2
    assert BUSY_RCX.operand == "RCX"


@pytest.mark.parametrize("name", ["PREVIOUS_TLB_EPOCH_BUSY", "SYS_BUSY", "INTERRUPTED_BUSY"])
def test_only_operand_busy_counts_as_busy(name: str) -> None:
    assert not status(code(name)).busy


@pytest.mark.parametrize(
    ("name", "recoverable"),
    [
        ("MISSING_PAMT_PAGE_PAIR", True),
        ("TD_KEYS_NOT_CONFIGURED", True),
        ("HPA_RANGE_NOT_FREE", False),
        ("OPERAND_INVALID", False),
        ("NON_RECOVERABLE_TD", False),
    ],
)
def test_bit_62_makes_an_error_non_recoverable(name: str, recoverable: bool) -> None:
    assert status(code(name)).is_recoverable is recoverable


def test_fatal_to_the_td_are_exactly_the_codes_with_bit_61() -> None:
    assert {name for name in CODES if code(name) & 1 << 61} == {
        "NON_RECOVERABLE_TD",
        "NON_RECOVERABLE_TD_NON_ACCESSIBLE",
        "NON_RECOVERABLE_TD_WRONG_APIC_MODE",
        "NON_RECOVERABLE_TD_CORRUPTED_MD",
        "TD_FATAL",
    }


def test_the_host_recoverability_hint_is_bit_60() -> None:
    assert {name for name in CODES if code(name) & 1 << 60} == {
        "CROSS_TD_TRAP",
        "HOST_PRIORITY_BUSY_TIMEOUT",
    }


@pytest.mark.parametrize(
    ("name", "interrupted"),
    [
        ("INTERRUPTED_RESUMABLE", True),
        ("INTERRUPTED_RESTARTABLE", True),
        ("INTERRUPTIBILITY_BLOCKED", False),
        ("OPERAND_BUSY", False),
    ],
)
def test_an_interrupted_call_may_go_on(name: str, interrupted: bool) -> None:
    assert status(code(name)).interrupted is interrupted


def test_a_dead_module_answers_with_a_status_made_up_by_the_host() -> None:
    assert DEAD == 0x8000_FF00_FFFF_0000
    assert DEAD.is_software
    assert DEAD.is_error
    assert str(DEAD) == "SEAMCALL_VMFAILINVALID"
    assert str(status(0x8000_FF00_0000_0006)) == "SEAMCALL_UD"


def test_only_the_host_class_is_software() -> None:
    assert not BUSY_RCX.is_software
    assert status(0x8000_FF00_0000_0000).is_software


@given(words)
def test_code_and_detail_make_up_the_word(word: int) -> None:
    parts = status(word)

    assert parts.code << 32 | parts.detail == word
    assert parts.class_id == (word >> 40) % 256


@given(words)
def test_a_word_is_either_ok_or_an_error(word: int) -> None:
    assert status(word).ok is not status(word).is_error
    assert status(word).is_error is (word >= 1 << 63)


@given(words)
def test_a_status_is_the_int_it_came_from(word: int) -> None:
    assert status(word) == word
    assert hash(status(word)) == hash(word)
    assert isinstance(status(word), Status)


@given(st.sampled_from(sorted(CODES)), st.sampled_from(sorted(OPERANDS)))
def test_the_printed_form_begins_with_the_name(name: str, operand: str) -> None:
    word = status(code(name) | OPERANDS[operand])

    assert str(word).split("|")[0] == name
