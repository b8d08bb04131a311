"""TDMRs: the page bitmap, reserved areas, and how far they are initialised."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.abi.address import SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.module.tdmr import Bitmap, Tdmr, TdmrInfo
from tdxfuzz.sim import Simulator

BASE = 1 << 32


def bitmap(reserved: Sequence[tuple[int, int]] = ()) -> Bitmap:
    return Bitmap(Simulator(1), reserved)


def tdmr(initialized: int | None = None, reserved: tuple[tuple[int, int], ...] = ()) -> Tdmr:
    return Tdmr(Simulator(1), TdmrInfo(BASE, 2 * SIZE_1G, reserved, initialized), 0)


def test_a_bit_is_set_once_and_reset_once() -> None:
    bits = bitmap()
    assert [bits.test_and_set(BASE), bits.test_and_set(BASE)] == [True, False]
    assert bits.peek(BASE)
    bits.reset(BASE)
    assert not bits.peek(BASE)
    assert bits.test_and_set(BASE)


@given(pages=st.lists(st.integers(0, 1200), unique=True), removed=st.data())
def test_bits_of_different_pages_are_independent(pages: list[int], removed: st.DataObject) -> None:
    bits = bitmap()
    for n in pages:
        assert bits.test_and_set(BASE + n * SIZE_4K)
    gone = set(removed.draw(st.lists(st.sampled_from(pages), unique=True)) if pages else [])
    for n in gone:
        bits.reset(BASE + n * SIZE_4K)
    left = [BASE + n * SIZE_4K for n in sorted(set(pages) - gone)]
    assert list(bits.backing_pages()) == left
    assert [hpa for n in range(1201) if bits.peek(hpa := BASE + n * SIZE_4K)] == left


def test_each_bit_instruction_is_one_step_and_one_event() -> None:
    bits = bitmap()
    events: list[tuple[str, str, str, bool]] = []
    bits.sim.log = lambda op, mode, what, ok: events.append((op, mode, what, ok))
    bits.test_and_set(BASE)
    bits.test_and_set(BASE)
    bits.reset(BASE)
    bits.reset(BASE)
    name = f"BITMAP[{BASE:#x}]"
    assert events == [
        ("bts", "", name, True),
        ("bts", "", name, False),
        ("btr", "", name, True),
        ("btr", "", name, False),
    ]
    assert bits.sim.clock == 4


def test_reading_a_bit_is_a_step_but_no_event() -> None:
    bits = bitmap()
    bits.test_and_set(BASE + SIZE_4K)
    events: list[str] = []
    bits.sim.log = lambda op, mode, what, ok: events.append(op)
    before = bits.sim.clock
    assert [bits.test(BASE), bits.test(BASE + SIZE_4K)] == [False, True]
    assert (bits.sim.clock - before, events) == (2, [])


@pytest.mark.parametrize("n", [0, 63, 64, 300, 511])
def test_one_bit_anywhere_makes_a_2mb_range_not_clear(n: int) -> None:
    bits = bitmap()
    assert bits.is_2m_clear(BASE)
    bits.test_and_set(BASE + n * SIZE_4K)
    assert not bits.is_2m_clear(BASE)
    assert bits.is_2m_clear(BASE + SIZE_2M)
    assert bits.is_2m_clear(BASE - SIZE_2M)


def test_reserved_pages_have_their_bit_set_from_the_start() -> None:
    bits = bitmap([(BASE + 3 * SIZE_4K, 2 * SIZE_4K)])
    looks = [bits.peek(BASE + n * SIZE_4K) for n in range(6)]
    assert looks == [False, False, False, True, True, False]
    tests = [bits.test(BASE + n * SIZE_4K) for n in range(6)]
    assert tests == looks
    assert not bits.test_and_set(BASE + 3 * SIZE_4K)
    assert not bits.is_2m_clear(BASE)


def test_reserved_pages_are_not_listed_as_backing_pages() -> None:
    bits = bitmap([(BASE, SIZE_4K)])
    bits.test_and_set(BASE + SIZE_4K)
    assert list(bits.backing_pages()) == [BASE + SIZE_4K]


@pytest.mark.parametrize(
    ("initialized", "ready"),
    [
        (None, 2),
        (0, 0),
        (SIZE_1G - SIZE_4K, 0),
        (SIZE_1G, 1),
        (2 * SIZE_1G - SIZE_4K, 1),
        (2 * SIZE_1G, 2),
    ],
)
def test_whole_gigabytes_become_ready(initialized: int | None, ready: int) -> None:
    piece = tdmr(initialized)
    answers = [
        piece.is_initialized(BASE),
        piece.is_initialized(BASE + SIZE_1G - 1),
        piece.is_initialized(BASE + SIZE_1G),
        piece.is_initialized(BASE + 2 * SIZE_1G - 1),
    ]
    assert answers == [ready >= 1, ready >= 1, ready >= 2, ready >= 2]


def test_looking_is_a_step_only_while_initialisation_goes_on() -> None:
    under_way, done = tdmr(SIZE_1G), tdmr()
    under_way.is_initialized(BASE)
    done.is_initialized(BASE)
    assert (under_way.sim.clock, done.sim.clock) == (1, 0)


def test_advancing_gives_the_end_of_the_gigabytes_that_are_ready() -> None:
    piece = tdmr(0)
    ends = [piece.advance(SIZE_1G // 2) for _ in range(4)]
    assert ends == [BASE, BASE + SIZE_1G, BASE + SIZE_1G, BASE + 2 * SIZE_1G]
    assert piece.last_initialized == piece.end == BASE + 2 * SIZE_1G


@pytest.mark.parametrize(
    ("offset", "reserved"), [(-1, False), (0, True), (8191, True), (8192, False)]
)
def test_a_reserved_area_ends_where_its_size_says(offset: int, reserved: bool) -> None:
    start = BASE + 16 * SIZE_4K
    assert tdmr(reserved=((start, 2 * SIZE_4K),)).is_reserved(start + offset) is reserved


def test_names_of_cells_carry_their_addresses() -> None:
    piece = tdmr()
    piece.bitmap.test_and_set(BASE + SIZE_2M)
    (word,) = piece.bitmap.words.values()
    assert piece.name == f"LAST_INITIALIZED[{BASE:#x}]"
    assert piece.lock.name == "TDMR[0]"
    assert word.name == f"BITMAP_QWORD[{BASE + SIZE_2M:#x}]"
