"""Programs with 2MB pages: what is drawn, and what a hunt of them sees."""

from __future__ import annotations

from random import Random

import pytest

from tdxfuzz.abi import find
from tdxfuzz.case.operation import OPERATIONS
from tdxfuzz.case.world import ALL_ENTRIES
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.codec import decode, encode
from tdxfuzz.generate.huge_programs import EVERY, EVERY_REAL, LAYOUTS, draw_huge_case
from tdxfuzz.run.footprint import BaseRun
from tiers import slow

PROMOTE = find("TDH.MEM.PAGE.PROMOTE").number


def test_every_layout_and_operation_occurs() -> None:
    choices = RandomChoices(Random(2))
    cases = [draw_huge_case(choices, "merged") for _ in range(300)]
    worlds = [case.world for case in cases]
    assert {(w.guest_ranges, w.kernel_ranges, w.fresh_ranges) for w in worlds} == set(LAYOUTS)
    names = {op.name for case in cases for ops in case.programs for op in ops}
    assert names == set(OPERATIONS) - {"create"}
    assert {op.name for case in cases for op in case.setup} == {
        "create",
        "map",
        "map2m",
        "accept4k",
    }


def test_a_case_survives_bytes() -> None:
    choices = RandomChoices(Random(3))
    for huge in (EVERY, EVERY_REAL):
        for _ in range(50):
            case = draw_huge_case(choices, "v6", huge, cpus=3)
            assert decode(encode(case), "v6") == case


def test_most_merges_are_of_pages_that_were_split() -> None:
    """An area that was mapped at 4KB from the start has too few pages to be merged."""
    choices, merged, tried = RandomChoices(Random(2)), 0, 0
    for _ in range(600):
        case = draw_huge_case(choices, "v6")
        if any(op.name == "promote" for ops in case.programs for op in ops):
            tried += 1
            merged += any(leaf == PROMOTE for leaf, _ in BaseRun(case).run.calls)
    assert tried >= 20
    assert merged >= tried / 2


@slow
def test_of_two_hunts_with_one_seed_both_do_the_same() -> None:
    """A merge is met after 130 to 630 cases: four programs in ten are standard scenarios, and
    none of these has one.
    """
    seen = []
    for _ in range(2):
        result = hunt(HuntPlan("v6", Budget(cases=1_000), seed=4, huge=EVERY))
        seen.append((result.statistics.steps, result.statistics.table()))
    assert seen[0] == seen[1]
    assert {"TDH.MEM.PAGE.DEMOTE", "TDH.MEM.PAGE.PROMOTE"} <= set(seen[0][1])


@pytest.mark.parametrize("seed", range(4))
def test_a_page_of_the_real_size_is_split_and_zapped(seed: int) -> None:
    choices = RandomChoices(Random(seed))
    longest = 0
    for _ in range(4):
        ran = BaseRun(draw_huge_case(choices, "merged", EVERY_REAL)).run
        assert ran.case.world.entries == ALL_ENTRIES
        assert ran.finding is None
        longest = max(longest, ran.outcome.steps)
    assert longest > 0
