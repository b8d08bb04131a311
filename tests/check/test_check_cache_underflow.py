"""cache-underflow: a top-up that is too small is told, one refused is not."""

from __future__ import annotations

from attrs import evolve

from broken_designs import TopsUpTooLittle
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.session import run
from tdxfuzz.sim import Fault

CASE = Case(
    "Broken",
    World(cpus=1, tds=1, slots=1),
    (Op.parse("create 0"),),
    ((Op.parse("map 0 0"),),),
)


def test_a_top_up_that_is_too_small_is_told() -> None:
    finding = run(CASE, TopsUpTooLittle).finding
    assert finding is not None
    assert finding.bucket == "cache-underflow/-/-/PAMT page"
    assert "its cache is empty" in finding.message


def test_one_that_suffices_is_not() -> None:
    result = run(CASE, Merged)
    assert result.findings == ()
    assert "cache-underflow" in result.seen


def test_nor_is_one_that_memory_did_not_suffice_for() -> None:
    undisturbed = run(CASE, Merged).outcome.steps
    for index in range(12):
        refused = run(evolve(CASE, faults=(Fault("alloc", index),)), Merged)
        assert refused.outcome.steps < undisturbed, "the map was given up"
        buckets = [finding.bucket for finding in refused.findings]
        assert not any("cache-underflow" in bucket for bucket in buckets), index
