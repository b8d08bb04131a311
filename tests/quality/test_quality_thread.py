"""Orders that people wrote down in the mail thread, as tests by name."""

from __future__ import annotations

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.verify.search import verify
from tdxfuzz.verify.worklist import Bounds

CROSSED = World(
    cpus=2, tds=2, slots=2, guest_ranges=(0, 1), kernel_ranges=(2,), fresh_ranges=(0, 1)
)
"""Pages of pairs come from the ranges that the pairs are for, crosswise. Each TD has its S-EPT
pages before, and nobody holds either range."""

SETUP = ("create 0", "create 1", "map 0 1", "zap 0 1", "map 1 0", "zap 1 0")


@pytest.mark.parametrize(
    ("design", "bucket"),
    [
        ("per-range-rwlock", "deadlock/-/-/pamt_rwlock"),
        ("per-range-lock", "unexpected-status/PerRangeLock/WARN/PAMT.ADD failed: OPERAND_BUSY"),
    ],
)
def test_the_ab_ba_of_a1_and_b2(design: str, bucket: str) -> None:
    """CPU 0 adds the pair of A1 with a page of B, CPU 1 that of B2 with a page of A (review of the
    RFC, 2025). Locks as in the module, one for each range, wait for each other; with one lock for
    each range, and none for the pages of the pair, the module is BUSY.
    """
    programs = ((Op.parse("map 0 0"),), (Op.parse("map 1 1"),))
    checks = ("deadlock", "unexpected-status")
    case = Case(design, CROSSED, tuple(map(Op.parse, SETUP)), programs, checks=checks)
    found = verify(case, None, Bounds(1)).found
    assert found is not None
    assert found.findings[0].bucket == bucket


@pytest.mark.parametrize("design", ["per-range-rwlock-ordered", "merged", "v6"])
def test_a_global_or_an_ordered_lock_has_no_ab_ba(design: str) -> None:
    programs = ((Op.parse("map 0 0"),), (Op.parse("map 1 1"),))
    case = Case(design, CROSSED, tuple(map(Op.parse, SETUP)), programs)
    assert verify(case).found is None
