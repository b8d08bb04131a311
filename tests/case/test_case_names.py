"""Names of pages, ranges and locks."""

from __future__ import annotations

import pytest

from tdxfuzz.case.names import with_names


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ("pamt_lock[0x801]", "pamt_lock[B]"),
        ("CPU 0 waits for a[0x802], b[0x800]", "CPU 0 waits for a[C], b[A]"),
        ("PAMT_1G[0x100000000]", "the PAMT 1GB entry of all ranges"),
        ("PAMT_2M[0x100200000] is held", "the PAMT 2MB entry of range B is held"),
        ("PAMT_4K[0x100203000]", "the PAMT 4KB entry of page B3"),
        ("PAGE_COUNT[0x100400000]", "the page count of range C"),
        ("SEPT_TREE[0x10048a000]", "SEPT_TREE of the TD with TDR C138"),
        ("SEPTE[0x10048a000,0x0,3]", "the S-EPT entry of GPA 0x0 level 3 of the TD with TDR C138"),
        ("BITMAP_QWORD[0x100480000]", "BITMAP_QWORD[C128]"),
        ("no PAMT for page 0x100211000, which", "no PAMT for page B17, which"),
    ],
)
def test_locks_and_pages_are_called_by_what_they_are(told: str, named: str) -> None:
    assert with_names(told) == named
    assert with_names(named) == named


@pytest.mark.parametrize(
    "told",
    [
        "PAMT_2M[0x200000000]",
        "pamt_lock[0x808]",
        "list[3]",
        "vm0.spte[2,0x801]",
        "0xc000030400000000",
        "GPA 0x200000",
        "refcount[B]",
    ],
)
def test_what_lies_elsewhere_is_left_as_it_is(told: str) -> None:
    assert with_names(told) == told
