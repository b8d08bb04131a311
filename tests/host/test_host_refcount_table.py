"""The table of counters: each page of memory has one, and the mistakes of the revisions (B14)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import example, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from tdxfuzz.host.refcount_table import (
    COUNTERS_PER_PAGE,
    PAGES_PER_RANGE,
    Flat,
    Region,
    Sparse,
    Table,
    TableFaultError,
    may_go_online,
)
from tdxfuzz.survey.memory_cost import ATOMIC_T

SPAN = COUNTERS_PER_PAGE * PAGES_PER_RANGE
"""PFNs that one page of the table serves."""

sizes = st.one_of(
    st.integers(1, 3 * PAGES_PER_RANGE),
    st.integers(0, 2).map(lambda n: n * SPAN + 1),
    st.integers(1, 3 * SPAN),
)


@st.composite
def layouts(draw: st.DrawFn) -> list[Region]:
    """Memory with holes, in sizes around those of ranges and of pages of the table."""
    regions: list[Region] = []
    at = draw(st.integers(0, 2 * SPAN))
    for _ in range(draw(st.integers(1, 3))):
        end = at + draw(sizes)
        regions.append(Region(at, end))
        at = end + draw(sizes)
    return regions


def problem(table: Table) -> str:
    """What is wrong with a table; empty if each page has a counter, 0 at first, and nothing is
    populated that is not given back.
    """
    try:
        for region in table.regions:
            edges = range(region.start, region.end, PAGES_PER_RANGE)
            for pfn in {region.start, region.end - 1, *edges[:2], *edges[-2:]}:
                if table.counter(pfn):
                    return "garbage"
    except TableFaultError as error:
        return "beyond" if "beyond" in str(error) else "hole"
    return "leak" if table.free() else ""


@given(layouts())
@example([Region(0, PAGES_PER_RANGE - 1)])
def test_each_page_of_memory_has_a_counter(regions: list[Region]) -> None:
    for kind in (Flat, Sparse):
        assert problem(kind(regions)) == ""


@given(layouts())
def test_a_sparse_table_takes_no_more_than_a_flat_one(regions: list[Region]) -> None:
    flat, sparse = Flat(regions), Sparse(regions)
    assert sparse.pages <= flat.pages
    assert flat.bytes() - flat.size * ATOMIC_T < COUNTERS_PER_PAGE * ATOMIC_T


@given(layouts())
def test_in_holes_only_a_flat_table_has_counters(regions: list[Region]) -> None:
    """Nothing may be looked up there (B14 f): memory that came later is refused instead."""
    flat = Flat(regions)
    for before, after in pairwise(regions):
        assert flat.counter((before.end + after.start) // 2) == 0
        hole = Region(before.end, after.start)
        assert not may_go_online(hole, regions)
    assert all(may_go_online(region, regions) for region in regions)


class Truncated(Sparse):
    """(a) v3: max_pfn / 512 counters, not rounded up."""

    def room(self) -> int:
        return self.max_pfn // PAGES_PER_RANGE


class OnePast(Sparse):
    """(b) v3: the last counter is that of ``end``, not of ``end - 1``."""

    def counters_of(self, region: Region) -> tuple[int, int]:
        return region.start // PAGES_PER_RANGE, region.end // PAGES_PER_RANGE


class RoundedToNothing(Sparse):
    """(b) v3: start and end are rounded to pages of the table first; where they then are the
    same, nothing is populated.
    """

    def populated(self) -> Iterable[int]:
        for region in self.regions:
            yield from range(region.start // SPAN, region.end // SPAN)


class NotZeroed(Sparse):
    """(e) v3: vmalloc in place of vzalloc."""

    garbage = 0x5A5A5A5A


class AlignedPfn(Sparse):
    """(g) a fix proposed in the review of v3: PFNs aligned as if they were addresses."""

    def counters_of(self, region: Region) -> tuple[int, int]:
        start, end = region.start & -(1 << 21), region.end & -(1 << 21)
        return start // PAGES_PER_RANGE, max(end - 1, 0) // PAGES_PER_RANGE


class WithoutDynamicPamt(Sparse):
    """(c) v3: pages are populated where there is no area for them, for want of dynamic PAMT."""

    def __init__(self, regions: list[Region]) -> None:
        super().__init__(regions, dynamic_pamt=False)
        self.pages.update(self.populated())


MISTAKES: dict[type[Table] | Callable[[list[Region]], Table], set[str]] = {
    Truncated: {"beyond"},
    OnePast: {"leak"},
    RoundedToNothing: {"hole"},
    NotZeroed: {"garbage"},
    AlignedPfn: {"hole"},
    WithoutDynamicPamt: {"beyond"},
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.__name__)
def test_each_mistake_is_found(mistake: Callable[[list[Region]], Table]) -> None:
    quick = settings(max_examples=2_000, database=None, derandomize=True)
    smallest = find(layouts(), lambda regions: problem(mistake(regions)) != "", settings=quick)
    assert problem(mistake(smallest)) in MISTAKES[mistake]
    assert len(smallest) == 1


def test_a_table_taken_down_where_there_was_none_frees_nothing() -> None:
    """(d) RFC: the area's base was NULL, and what was unmapped belonged to others."""
    table = Flat([Region(0, SPAN)], dynamic_pamt=False)
    assert list(table.pages_of_area()) == []
    assert table.free() == set()


def test_a_region_has_pages() -> None:
    with pytest.raises(ValueError, match="a region from 5 to 5 has no pages"):
        Region(5, 5)


def test_there_is_no_mistake_in_no_mistake() -> None:
    with pytest.raises(NoSuchExample):
        find(
            layouts(),
            lambda regions: problem(Sparse(regions)) != "",
            settings=settings(max_examples=200, database=None, derandomize=True),
        )
