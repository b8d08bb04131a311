"""What PAMT costs, beside what was published."""

from __future__ import annotations

import pytest

from tdxfuzz.survey.memory_cost import PAIR, Cost, Td, TdmrSize, cost

GIB = 1 << 30
TIB = 1 << 40
MIB = 1 << 20


def test_a_terabyte_to_the_byte() -> None:
    assert cost(TIB) == Cost(
        ram=TIB,
        static={0: 4 * GIB, 1: 8 * MIB, 2: 16 << 10},
        dynamic={0: 32 * MIB, 1: 8 * MIB, 2: 16 << 10},
        refcounts=2 * MIB,
        refcounts_sparse=2 * MIB,
    )


@pytest.mark.parametrize(
    ("ram", "max_pa", "static", "dynamic"),
    [
        (256 * GIB, 0, 1.02, 0.01),
        (256 * GIB, 52, 1.02, 8.01),
        (2 * TIB, 0, 8.19, 0.08),
        (2 * TIB, 52, 8.19, 8.08),
    ],
)
def test_the_table_of_v6(ram: int, max_pa: int, static: float, dynamic: float) -> None:
    """Its GB of static PAMT are a thousand MiB; that of the rest are rounded GiB."""
    paid = cost(ram, max_pa=max_pa)
    assert paid.static_total / (1000 * MIB) == pytest.approx(static, rel=0.01)
    assert round(paid.dynamic_total / GIB, 2) == dynamic


def test_the_published_percentages_are_met() -> None:
    paid = cost(TIB)
    assert round(paid.percent(paid.static_total), 1) == 0.4
    assert round(paid.percent(paid.dynamic_total), 3) == 0.004
    assert round(paid.percent(paid.refcounts), 4) == 0.0002


def test_a_guest_of_704_gib_at_4kb_and_in_huge_pages() -> None:
    small, huge = (cost(TIB, tds=1, td=Td(704 * GIB, share)) for share in (0, 1))
    assert small.pairs * PAIR / GIB == pytest.approx(3, rel=0.1)
    assert huge.pairs_most * PAIR / MIB == pytest.approx(5, rel=0.2)


def test_a_boot_that_touches_5_gib() -> None:
    """About 20MB of pairs at 4KB; about 2MB, 256 ranges, where nine tenths are huge."""
    small, huge = (cost(TIB, tds=1, td=Td(5 * GIB, share)) for share in (0, 0.9))
    assert small.pairs * PAIR / MIB == pytest.approx(20, rel=0.05)
    assert huge.pairs * PAIR / MIB == pytest.approx(2, rel=0.05)
    assert huge.pairs == pytest.approx(256, rel=0.05)


def test_tdmrs_with_a_hole() -> None:
    """Regions and a sparse table follow the TDMRs; a flat one goes on through the hole."""
    paid = cost(4 * GIB, (TdmrSize(0, 2 * GIB), TdmrSize(1 << 46, 2 * GIB)))
    assert paid.static[0] == 16 * MIB
    assert paid.dynamic[2] == 2 * 4096
    assert paid.refcounts_sparse == 2 * 4096
    assert paid.refcounts == pytest.approx(128 * MIB, rel=0.001)


@pytest.mark.parametrize("ram", [1, 4096, GIB - 1, GIB, 3 * GIB + 12345])
def test_any_size_is_covered_in_whole_pages(ram: int) -> None:
    paid = cost(ram)
    for amount in (*paid.static.values(), *paid.dynamic.values(), paid.refcounts):
        assert amount % 4096 == 0
        assert amount > 0


def test_kernel_pages_of_a_td() -> None:
    """TDR, six TDCS pages, a vCPU's six, and S-EPT pages level by level."""
    assert Td(2 * MIB, vcpus=0).kernel_pages == 7 + 1 + 1
    assert Td(2 * MIB, vcpus=1).kernel_pages == 7 + 6 + 1 + 1
    assert Td(2 * GIB, vcpus=0).kernel_pages == 7 + 1024 + 2 + 1
    assert Td(2 * GIB, huge=1, vcpus=0).kernel_pages == 7 + 2 + 1
