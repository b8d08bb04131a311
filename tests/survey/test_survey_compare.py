"""Designs side by side: the same programs, and counts that can be compared."""

from __future__ import annotations

from tdxfuzz.engines.hunt import Budget
from tdxfuzz.run.session import run
from tdxfuzz.survey.compare import ComparedDesign, Comparison, compare


def compared(*names: str, cases: int = 15) -> Comparison:
    return compare([ComparedDesign(name) for name in names], 1, Budget(cases=cases))


def test_each_design_is_run_as_often_on_as_many_programs() -> None:
    comparison = compared("v6", "merged", "v4")
    assert comparison.cases == 15
    assert len({side.statistics.cases for side in comparison.sides}) == 1


def test_the_same_seed_gives_the_same_counts() -> None:
    one, other = compared("v6", "hint"), compared("v6", "hint")
    assert one.programs == other.programs
    for a, b in zip(one.sides, other.sides, strict=True):
        assert (a.broken, a.statistics.calls) == (b.broken, b.statistics.calls)


def test_a_design_is_the_same_as_itself_under_another_name() -> None:
    a, b = compared("v6", "v6").sides
    assert a.statistics.calls == b.statistics.calls
    assert a.statistics.steps == b.statistics.steps


def test_only_the_broken_design_is_said_to_be_broken() -> None:
    comparison = compared("v6", "rfc")
    assert set(comparison.programs) <= {frozenset(), frozenset({"rfc"})}
    assert comparison.programs[frozenset({"rfc"})] > 0
    rfc = comparison.sides[1]
    for bucket, found in rfc.first.items():
        finding = run(found.case).finding
        assert finding is not None
        assert finding.bucket == bucket
