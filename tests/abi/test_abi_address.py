"""Addresses, page frames, 2MB ranges and the HKID bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.abi.address import (
    LEVEL_1G,
    LEVEL_2M,
    LEVEL_4K,
    MAX_PA,
    SIZE_1G,
    SIZE_2M,
    SIZE_4K,
    KeyIdBits,
    hpa_of,
    index_in_2m,
    pfn_of,
)

addresses = st.integers(0, (1 << MAX_PA) - 1)
key_id_bits = st.builds(KeyIdBits, start=st.integers(32, 45), width=st.integers(1, 6))


def test_page_sizes_are_those_of_the_architecture() -> None:
    assert (SIZE_4K, SIZE_2M, SIZE_1G) == (4096, 2 * 1024**2, 1024**3)


def test_levels_are_numbered_as_in_operands() -> None:
    assert (LEVEL_4K, LEVEL_2M, LEVEL_1G) == (0, 1, 2)


def test_parts_of_one_address() -> None:
    hpa = 0x4060_3ABC

    assert pfn_of(hpa) == 0x40603
    assert index_in_2m(hpa) == 3


@given(addresses)
def test_an_address_lies_in_the_page_of_its_pfn(hpa: int) -> None:
    first = hpa_of(pfn_of(hpa))

    assert first % SIZE_4K == 0
    assert first <= hpa < first + SIZE_4K


@given(st.integers(0, (1 << (MAX_PA - 12)) - 1))
def test_pfn_of_undoes_hpa_of(pfn: int) -> None:
    assert pfn_of(hpa_of(pfn)) == pfn


@given(addresses)
def test_range_index_and_offset_make_up_the_address(hpa: int) -> None:
    assert hpa - hpa % SIZE_2M + index_in_2m(hpa) * SIZE_4K + hpa % SIZE_4K == hpa


def test_the_recorded_machine_keeps_six_hkid_bits_below_bit_46() -> None:
    bits = KeyIdBits()

    assert bits.mask == 0x3F00_0000_0000
    assert bits.hkid_of(0x2100_4000_3000) == 33
    assert bits.strip(0x2100_4000_3000) == 0x4000_3000
    assert bits.assign(0x2100_4000_3000, 63) == 0x3F00_4000_3000


@pytest.mark.parametrize(("start", "width", "mask"), [(46, 6, 0xFC000 << 32), (51, 1, 1 << 51)])
def test_other_platforms_keep_the_hkid_elsewhere(start: int, width: int, mask: int) -> None:
    assert KeyIdBits(start, width).mask == mask


@given(key_id_bits, addresses, st.data())
def test_an_assigned_hkid_reads_back_and_strips_off(
    bits: KeyIdBits, pa: int, data: st.DataObject
) -> None:
    hkid = data.draw(st.integers(0, (1 << bits.width) - 1))

    assigned = bits.assign(pa, hkid)

    assert bits.hkid_of(assigned) == hkid
    assert bits.strip(assigned) == bits.strip(pa)


@given(key_id_bits, addresses)
def test_address_and_hkid_together_lose_nothing(bits: KeyIdBits, pa: int) -> None:
    assert bits.hkid_of(bits.strip(pa)) == 0
    assert bits.assign(bits.strip(pa), bits.hkid_of(pa)) == pa
