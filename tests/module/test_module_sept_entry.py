"""The bits of a Secure EPT entry, the states they encode, and what the host is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.module.platform import Platform
from tdxfuzz.module.sept_entry import (
    INIT_VALUE,
    RWX,
    TDEL,
    TDHP,
    blocked,
    details,
    is_leaf,
    leaf_value,
    non_leaf_value,
    state_of,
    unblocked,
)
from tdxfuzz.module.sept_state import ENCODING_MASK, SeptState

S = SeptState
HPA = 0x1_2345_6000
PA = HPA | 40 << 40
"""The address with an HKID, as an entry keeps it."""

VALUES = {
    S.FREE: INIT_VALUE,
    S.MAPPED: leaf_value(PA, S.MAPPED, RWX),
    S.BLOCKED: blocked(leaf_value(PA, S.MAPPED, RWX)),
    S.PENDING: leaf_value(PA, S.PENDING, rwx=0),
    S.PENDING_BLOCKED: blocked(leaf_value(PA, S.PENDING, rwx=0)),
    S.NL_MAPPED: non_leaf_value(PA),
    S.NL_BLOCKED: blocked(non_leaf_value(PA)),
}
LEAVES = (S.MAPPED, S.BLOCKED, S.PENDING, S.PENDING_BLOCKED)


@pytest.mark.parametrize("state", SeptState)
def test_every_state_can_be_made_and_is_recognised(state: SeptState) -> None:
    assert state_of(VALUES[state]) is state


def test_states_are_encoded_as_in_the_table_of_the_module() -> None:
    """PS and TDMEM in bits 7:6, D in bit 9, the four state bits in 56:53."""
    assert {state: state.encoding for state in SeptState} == {
        S.FREE: 0b0111 << 53,
        S.NL_MAPPED: 0,
        S.NL_BLOCKED: 0b0100 << 53,
        S.MAPPED: 0b11 << 6,
        S.BLOCKED: 0b11 << 6 | 0b0100 << 53,
        S.PENDING: 0b11 << 6 | 0b1000 << 53,
        S.PENDING_BLOCKED: 0b11 << 6 | 0b1100 << 53,
    }
    assert ENCODING_MASK == 0b11 << 6 | 1 << 9 | 0b1111 << 53


@pytest.mark.parametrize("state", SeptState)
def test_lock_and_host_priority_bits_are_not_part_of_the_state(state: SeptState) -> None:
    assert state_of(VALUES[state] | TDEL | TDHP) is state


@pytest.mark.parametrize("state", SeptState)
def test_only_leaves_map_pages(state: SeptState) -> None:
    assert is_leaf(VALUES[state]) is (state in LEAVES)


@pytest.mark.parametrize(
    ("state", "public", "value"),
    [
        (S.FREE, 0x00, 1 << 63),
        (S.BLOCKED, 0x01, HPA | 1 << 63 | 0xF0),
        (S.PENDING, 0x02, HPA | 1 << 63 | 0xF0),
        (S.PENDING_BLOCKED, 0x03, HPA | 1 << 63 | 0xF0),
        (S.MAPPED, 0x04, HPA | 1 << 63 | 0x4F7),
        (S.NL_BLOCKED, 0x81, HPA),
        (S.NL_MAPPED, 0x84, HPA | 0x407),
    ],
)
@pytest.mark.parametrize("level", [0, 3])
def test_what_rcx_and_rdx_report_of_an_entry(
    state: SeptState, public: int, value: int, level: int
) -> None:
    if state in (S.NL_BLOCKED, S.NL_MAPPED):
        value &= 0xFFF
    assert details(VALUES[state], level, Platform()) == (value, level | public << 8)
    assert details(VALUES[state] | TDEL | TDHP, level, Platform())[0] == value


@pytest.mark.parametrize(
    ("state", "after"),
    [(S.MAPPED, S.BLOCKED), (S.PENDING, S.PENDING_BLOCKED), (S.NL_MAPPED, S.NL_BLOCKED)],
)
def test_blocking_and_unblocking_are_inverse(state: SeptState, after: SeptState) -> None:
    value = VALUES[state]
    assert state_of(blocked(value)) is after
    assert not blocked(value) & RWX
    assert unblocked(blocked(value)) == value


@pytest.mark.parametrize("state", [S.FREE, S.MAPPED, S.PENDING, S.NL_MAPPED])
def test_unblocking_what_is_not_blocked_changes_nothing(state: SeptState) -> None:
    assert unblocked(VALUES[state]) == VALUES[state]


@pytest.mark.parametrize("state", [S.FREE, S.BLOCKED, S.PENDING_BLOCKED, S.NL_BLOCKED])
def test_only_open_mappings_can_be_blocked(state: SeptState) -> None:
    with pytest.raises(KeyError):
        blocked(VALUES[state])


@given(hpa=st.integers(0, (1 << 28) - 1).map(lambda pfn: pfn << 12), hkid=st.integers(33, 63))
def test_an_entry_keeps_the_address_through_block_and_unblock(hpa: int, hkid: int) -> None:
    pa = Platform().key_bits.assign(hpa, hkid)
    for value in (leaf_value(pa, S.MAPPED, RWX), leaf_value(pa, S.PENDING, 0)):
        assert details(blocked(value), 0, Platform())[0] & 0x000F_FFFF_FFFF_F000 == hpa
        assert unblocked(blocked(value)) == value


@pytest.mark.parametrize("state", SeptState)
def test_a_state_is_blocked_or_pending_as_its_name_says(state: SeptState) -> None:
    assert state.is_blocked is state.name.endswith("BLOCKED")
    assert state.is_pending is state.name.startswith("PENDING")


def test_pending_pages_cannot_be_read_and_mapped_ones_can() -> None:
    assert VALUES[S.PENDING] & RWX == 0
    assert VALUES[S.MAPPED] & RWX == RWX
    assert VALUES[S.NL_MAPPED] & RWX == RWX
