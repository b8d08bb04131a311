"""What SYS.CONFIG checks of each TDMR: every check, its order, and what it tells."""

from __future__ import annotations

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.abi import Status
from tdxfuzz.abi.address import SIZE_1G, SIZE_2M, SIZE_4K
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.memory import Memory
from tdxfuzz.module.platform import Platform
from tdxfuzz.module.tdmr import TdmrInfo
from tdxfuzz.module.tdmr_config import (
    Area,
    TdmrInfoEntry,
    are_cmrs_valid,
    check_tdmr,
    is_in_cmr,
    required_pamt_size,
)

from .boot import BootLab, entry, tdmr_info_bytes, with_region
from .lab import BASE, OUTSIDE

MIB = 1 << 20
HKID_BIT = 1 << 40
SECOND = BASE + 4 * SIZE_1G
ELSEWHERE = OUTSIDE + (128 << 20)
"""PAMT of the second TDMR."""


def verdict(*infos: TdmrInfoEntry, dynamic: bool = True) -> str:
    """The status of the first TDMR that is refused."""
    try:
        for i, info in enumerate(infos):
            check_tdmr(Platform(), dynamic, info, infos[:i])
    except Refused as refused:
        return str(Status(refused.status))
    return "SUCCESS"


@frozen
class Row:
    status: str
    infos: tuple[TdmrInfoEntry, ...]

    def __str__(self) -> str:
        return self.status


def row(status: str, *infos: TdmrInfoEntry) -> Row:
    return Row(status, infos)


def reserving(*areas: tuple[int, int]) -> TdmrInfoEntry:
    return entry(reserved=areas)


GOOD = entry()
OTHER = entry(base=SECOND, pamt=ELSEWHERE)

TDMRS = [
    row("SUCCESS", GOOD),
    row("SUCCESS", GOOD, OTHER),
    row("SUCCESS", GOOD, entry(base=BASE + SIZE_1G, pamt=ELSEWHERE)),
    row("INVALID_TDMR|TDMR 0", entry(base=BASE + SIZE_2M)),
    row("INVALID_TDMR|TDMR 0", entry(size=SIZE_1G + SIZE_4K)),
    row("INVALID_TDMR|TDMR 0", entry(size=0)),
    row("INVALID_TDMR|TDMR 0", entry(base=1 << 52)),
    row("INVALID_TDMR|TDMR 0", entry(base=BASE | HKID_BIT)),
    row("INVALID_TDMR|TDMR 0", entry(base=HKID_BIT - SIZE_1G, size=2 * SIZE_1G)),
    row("INVALID_TDMR|TDMR 0", evolve(GOOD, tdmr=Area(-SIZE_1G & (1 << 64) - 1, SIZE_1G))),
    row("INVALID_TDMR|TDMR 1", GOOD, entry(base=SECOND, size=SIZE_4K)),
    row("NON_ORDERED_TDMR|TDMR 1", OTHER, GOOD),
    row("NON_ORDERED_TDMR|TDMR 1", GOOD, GOOD),
    row("NON_ORDERED_TDMR|TDMR 1", GOOD, entry(base=BASE + SIZE_2M)),
    row("NON_ORDERED_TDMR|TDMR 2", GOOD, OTHER, GOOD),
]

RESERVED = [
    row("SUCCESS", reserving((0, SIZE_1G))),
    row("SUCCESS", reserving((0, SIZE_4K), (SIZE_4K, SIZE_4K))),
    row("SUCCESS", reserving(*((i * SIZE_2M, SIZE_4K) for i in range(16)))),
    row("NON_ORDERED_RESERVED_IN_TDMR|TDMR 0 area 0", reserving((0, 0), (0, SIZE_4K))),
    row("NON_ORDERED_RESERVED_IN_TDMR|TDMR 0 area 1", reserving((MIB, MIB), (0, MIB))),
    row("NON_ORDERED_RESERVED_IN_TDMR|TDMR 0 area 1", reserving((0, 2 * MIB), (MIB, MIB))),
    row("NON_ORDERED_RESERVED_IN_TDMR|TDMR 0 area 1", reserving((MIB, MIB), (0, 1))),
    row(
        "NON_ORDERED_RESERVED_IN_TDMR|TDMR 0 area 14",
        reserving(*((i * MIB, MIB if i != 14 else 0) for i in range(16))),
    ),
    row("INVALID_RESERVED_IN_TDMR|TDMR 0 area 0", reserving((1, SIZE_4K))),
    row("INVALID_RESERVED_IN_TDMR|TDMR 0 area 0", reserving((0, 2048))),
    row("INVALID_RESERVED_IN_TDMR|TDMR 0 area 0", reserving((0, SIZE_1G + SIZE_4K))),
    row("INVALID_RESERVED_IN_TDMR|TDMR 0 area 0", reserving((SIZE_1G, SIZE_4K))),
    row("INVALID_RESERVED_IN_TDMR|TDMR 0 area 1", reserving((MIB, MIB), ((1 << 64) - 1, 1))),
    row("INVALID_RESERVED_IN_TDMR|TDMR 0 area 0", reserving(((1 << 64) - SIZE_4K, 4095))),
    row(
        "INVALID_RESERVED_IN_TDMR|TDMR 1 area 15",
        GOOD,
        evolve(OTHER, reserved=tuple(Area(i * MIB, MIB if i < 15 else 1) for i in range(16))),
    ),
]

REGIONS = [
    row("INVALID_PAMT|TDMR 0 level 0", with_region(GOOD, 0, OUTSIDE, 28 << 10)),
    row("INVALID_PAMT|TDMR 0 level 0", with_region(GOOD, 0, OUTSIDE, (32 << 10) + 1)),
    row("INVALID_PAMT|TDMR 0 level 0", with_region(GOOD, 0, OUTSIDE + 512)),
    row("INVALID_PAMT|TDMR 0 level 1", with_region(GOOD, 1, OUTSIDE, SIZE_4K)),
    row("INVALID_PAMT|TDMR 0 level 2", with_region(GOOD, 2, OUTSIDE, 0)),
    row("INVALID_PAMT|TDMR 0 level 2", with_region(GOOD, 2, 0, 0)),
    row("INVALID_PAMT|TDMR 0 level 2", with_region(GOOD, 2, OUTSIDE | HKID_BIT)),
    row("INVALID_PAMT|TDMR 0 level 2", with_region(GOOD, 2, HKID_BIT - SIZE_4K, 2 * SIZE_4K)),
    row("INVALID_PAMT|TDMR 0 level 1", with_region(GOOD, 1, 1 << 52)),
    row("INVALID_PAMT|TDMR 0 level 1", with_region(GOOD, 1, (1 << 64) - SIZE_4K)),
    row("INVALID_PAMT|TDMR 1 level 0", GOOD, with_region(OTHER, 0, OUTSIDE, SIZE_4K)),
    row("PAMT_OVERLAP|TDMR 0 level 0 and TDMR 0", with_region(GOOD, 1, OUTSIDE + SIZE_4K)),
    row("PAMT_OVERLAP|TDMR 0 level 0 and TDMR 0", with_region(GOOD, 2, OUTSIDE + 28 * 1024)),
    row("SUCCESS", with_region(GOOD, 2, OUTSIDE + 32 * 1024)),
    row(
        "PAMT_OVERLAP|TDMR 0 level 1 and TDMR 0",
        with_region(GOOD, 2, OUTSIDE + (16 << 20) + SIZE_4K),
    ),
    row("PAMT_OVERLAP|TDMR 1 level 0 and TDMR 0", GOOD, entry(base=SECOND, pamt=OUTSIDE)),
    row("PAMT_OVERLAP|TDMR 1 level 2 and TDMR 0", GOOD, with_region(OTHER, 2, OUTSIDE)),
    row(
        "PAMT_OVERLAP|TDMR 2 level 1 and TDMR 1",
        GOOD,
        OTHER,
        with_region(entry(base=SECOND + SIZE_1G, pamt=OUTSIDE + (64 << 20)), 1, ELSEWHERE),
    ),
    row("PAMT_OVERLAP|TDMR 0 level 1 and TDMR 0", with_region(GOOD, 1, BASE)),
    row("PAMT_OVERLAP|TDMR 1 level 1 and TDMR 0", GOOD, with_region(OTHER, 1, BASE + MIB)),
    row("PAMT_OVERLAP|TDMR 0 level 2 and TDMR 1", with_region(GOOD, 2, SECOND), OTHER),
    row(
        "PAMT_OVERLAP|TDMR 1 level 0 and TDMR 0",
        with_region(GOOD, 2, SECOND),
        with_region(OTHER, 0, BASE),
    ),
    row("SUCCESS", with_region(entry(reserved=[(0, MIB)]), 0, BASE)),
    row(
        "SUCCESS",
        with_region(entry(reserved=[(MIB, SIZE_4K), (MIB + SIZE_4K, MIB)]), 0, BASE + MIB),
    ),
    row(
        "PAMT_OVERLAP|TDMR 0 level 0 and TDMR 0",
        with_region(entry(reserved=[(0, 28 << 10)]), 0, BASE),
    ),
    row(
        "PAMT_OVERLAP|TDMR 0 level 0 and TDMR 0",
        with_region(entry(reserved=[(SIZE_1G - MIB, MIB)]), 0, BASE + SIZE_1G - MIB - SIZE_4K),
    ),
    row(
        "PAMT_OVERLAP|TDMR 0 level 2 and TDMR 0",
        with_region(
            entry(reserved=[(i * 2 * MIB, MIB) for i in range(16)]), 2, BASE + SIZE_1G - SIZE_4K
        ),
    ),
]


@pytest.mark.parametrize("case", [*TDMRS, *RESERVED, *REGIONS], ids=str)
def test_what_is_wrong_with_a_tdmr(case: Row) -> None:
    assert verdict(*case.infos) == case.status


@pytest.mark.parametrize("case", [*TDMRS, *RESERVED, *REGIONS], ids=str)
def test_sys_config_says_the_same(case: Row) -> None:
    lab = BootLab()
    lab.init()
    assert lab.config(*case.infos).text == case.status
    tdmrs = [] if case.status != "SUCCESS" else [info.tdmr.base for info in case.infos]
    assert [tdmr.base for tdmr in lab.module.pamt.tdmrs] == tdmrs
    assert lab.held() == {}


def test_the_status_carries_level_and_number() -> None:
    with pytest.raises(Refused) as refused:
        check_tdmr(Platform(), True, with_region(OTHER, 1, OUTSIDE, SIZE_4K), [GOOD])
    assert refused.value.status == 0xC000_0A10_0000_0101
    with pytest.raises(Refused) as refused:
        check_tdmr(Platform(), True, with_region(OTHER, 2, BASE), [GOOD])
    assert refused.value.status == 0xC000_0A12_0000_0201


@pytest.mark.parametrize(
    ("level", "dynamic", "size"),
    [
        (0, True, 32 << 10),
        (0, False, 4 << 20),
        (1, True, 8 << 10),
        (1, False, 8 << 10),
        (2, True, 16),
        (2, False, 16),
    ],
)
def test_how_much_pamt_a_gigabyte_takes(level: int, dynamic: bool, size: int) -> None:
    assert required_pamt_size(SIZE_1G, level, dynamic) == size
    assert required_pamt_size(3 * SIZE_1G, level, dynamic) == 3 * size


def test_the_region_of_the_bitmap_is_too_small_without_dynamic_pamt() -> None:
    assert verdict(GOOD, dynamic=False) == "INVALID_PAMT|TDMR 0 level 0"
    assert verdict(entry(dynamic=False), dynamic=False) == "SUCCESS"
    assert verdict(entry(dynamic=False)) == "SUCCESS"


ORDER = [
    ("NON_ORDERED_TDMR|TDMR 1", entry(base=BASE + SIZE_4K, reserved=[(1, 1)])),
    ("INVALID_TDMR|TDMR 1", evolve(OTHER, tdmr=Area(SECOND, 1), reserved=(Area(1, 1),))),
    (
        "INVALID_RESERVED_IN_TDMR|TDMR 1 area 0",
        evolve(with_region(OTHER, 1, 1), reserved=(Area(1, 1),)),
    ),
    ("INVALID_PAMT|TDMR 1 level 2", with_region(with_region(OTHER, 0, 1), 2, 1)),
    ("INVALID_PAMT|TDMR 1 level 0", with_region(with_region(OTHER, 0, 1), 2, OUTSIDE)),
    (
        "PAMT_OVERLAP|TDMR 1 level 1 and TDMR 0",
        with_region(with_region(OTHER, 2, ELSEWHERE), 1, OUTSIDE),
    ),
    (
        "PAMT_OVERLAP|TDMR 1 level 0 and TDMR 1",
        with_region(with_region(OTHER, 2, ELSEWHERE), 1, BASE),
    ),
]


@pytest.mark.parametrize(("status", "second"), ORDER)
def test_the_first_check_that_fails_decides(status: str, second: TdmrInfoEntry) -> None:
    """Of a second TDMR with several things wrong."""
    assert verdict(GOOD, second) == status


LOW = (0, BASE + SIZE_1G)
HOLE = ((0, BASE + MIB), (BASE + 2 * MIB, 1 << 34))


@pytest.mark.parametrize(
    ("cmrs", "infos", "status"),
    [
        ((LOW,), (GOOD,), "SUCCESS"),
        ((LOW,), (GOOD, OTHER), "TDMR_OUTSIDE_CMRS|TDMR 1"),
        (((BASE, SIZE_1G),), (GOOD,), "PAMT_OUTSIDE_CMRS|TDMR 0 level 2"),
        (((0, OUTSIDE + MIB), (BASE, SIZE_1G)), (GOOD,), "PAMT_OUTSIDE_CMRS|TDMR 0 level 2"),
        (((OUTSIDE + MIB, 1 << 33),), (GOOD,), "PAMT_OUTSIDE_CMRS|TDMR 0 level 0"),
        (
            ((0, OUTSIDE + MIB), (OUTSIDE + 32 * MIB, 1 << 33)),
            (GOOD,),
            "PAMT_OUTSIDE_CMRS|TDMR 0 level 1",
        ),
        (HOLE, (GOOD,), "TDMR_OUTSIDE_CMRS|TDMR 0"),
        (HOLE, (reserving((MIB, MIB)),), "SUCCESS"),
        (HOLE, (reserving((MIB, SIZE_4K), (MIB + SIZE_4K, MIB - SIZE_4K)),), "SUCCESS"),
        (HOLE, (reserving((MIB, MIB - SIZE_4K)),), "TDMR_OUTSIDE_CMRS|TDMR 0"),
        (((0, BASE + SIZE_2M), (BASE + SIZE_2M, 1 << 33)), (GOOD,), "SUCCESS"),
        (((0, BASE), (BASE, SIZE_2M), (BASE + SIZE_2M, 1 << 33)), (GOOD,), "SUCCESS"),
        (((0, BASE), (0, 0), (BASE, SIZE_1G)), (GOOD,), "SUCCESS"),
        ((), (GOOD,), "PAMT_OUTSIDE_CMRS|TDMR 0 level 2"),
        (((0, BASE),), (reserving((0, SIZE_1G)),), "SUCCESS"),
    ],
)
def test_all_memory_lies_in_cmrs(
    cmrs: tuple[tuple[int, int], ...], infos: tuple[TdmrInfoEntry, ...], status: str
) -> None:
    """Each available area and each PAMT region in one piece of adjoining CMRs."""
    lab = BootLab(platform=Platform(cmrs=cmrs))
    lab.init()
    assert lab.config(*infos).text == status


@pytest.mark.parametrize(
    ("cmrs", "valid"),
    [
        ((), True),
        (((0, 1 << 40),), True),
        (((0, SIZE_4K), (SIZE_4K, SIZE_4K)), True),
        (((0, SIZE_4K), (0, 0), (SIZE_2M, SIZE_4K)), True),
        (((0, (1 << 40) + SIZE_4K),), False),
        (((1 << 52, SIZE_4K),), False),
        ((((1 << 64) - SIZE_4K, SIZE_4K),), False),
        (((1, SIZE_4K),), False),
        (((0, 2048),), False),
        (((SIZE_2M, SIZE_4K), (0, SIZE_4K)), False),
        (((0, SIZE_2M), (SIZE_4K, SIZE_4K)), False),
    ],
)
def test_which_lists_of_cmrs_are_valid(cmrs: tuple[tuple[int, int], ...], valid: bool) -> None:
    assert are_cmrs_valid(Platform(cmrs=cmrs)) is valid


def test_an_empty_cmr_joins_nothing() -> None:
    platform = Platform(cmrs=((0, MIB), (MIB, 0), (MIB, MIB)))
    assert is_in_cmr(platform, Area(0, 2 * MIB))
    assert not is_in_cmr(platform, Area(0, 2 * MIB + 1))


numbers = st.integers(0, (1 << 64) - 1)
areas = st.builds(Area, numbers, numbers)


@given(
    st.builds(
        TdmrInfoEntry,
        areas,
        st.tuples(areas, areas, areas),
        st.lists(areas, min_size=16, max_size=16).map(tuple),
    )
)
def test_a_tdmr_info_is_read_as_it_was_written(info: TdmrInfoEntry) -> None:
    memory = Memory()
    memory.write(0x5200, tdmr_info_bytes(info))
    assert TdmrInfoEntry.read(memory, 0x5200) == info
    assert len(tdmr_info_bytes(info)) == 320


def test_where_the_fields_of_a_tdmr_info_stand() -> None:
    info = TdmrInfoEntry(Area(1, 2), (Area(7, 8), Area(5, 6), Area(3, 4)), (Area(9, 10),))
    words = memoryview(tdmr_info_bytes(info)).cast("Q").tolist()
    assert words == [*range(1, 11), *[0] * 30]


def test_memory_nobody_wrote_describes_nothing() -> None:
    assert TdmrInfoEntry.read(Memory(), 0x5000).tdmr == Area(0, 0)


def test_what_becomes_of_a_tdmr_info() -> None:
    info = reserving((0, MIB), (MIB, MIB), (4 * MIB, MIB), (0, 0))
    reserved = ((BASE, MIB), (BASE + MIB, MIB), (BASE + 4 * MIB, MIB))
    assert info.as_configured == TdmrInfo(BASE, SIZE_1G, reserved, initialized=0)
    assert list(info.available_areas) == [
        Area(BASE + 2 * MIB, 2 * MIB),
        Area(BASE + 5 * MIB, SIZE_1G - 5 * MIB),
    ]
