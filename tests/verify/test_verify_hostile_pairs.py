"""Calls that overlap, systematically: no order is lost, and no finding ends the sweep."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.generate.hostile_calls import hostile_case
from tdxfuzz.verify.hostile_pairs import overlaps, sweep
from tdxfuzz.verify.search import StopRule, Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import first_quick, slow

FATAL = "module-fatal/TDH.PHYMEM.PAMT.REMOVE/FATAL_343/module"
GIVEN_BACK = "page-owner/-/-/PAMT page"
GIVES_BACK_IN_USE = hostile_case(
    "blocked",
    2,
    (
        (Op.parse("TDH.MEM.PAGE.REMOVE rcx=0 rdx=B128"),),
        (Op.parse("TDH.PHYMEM.PAMT.REMOVE rcx=A0|1"),),
    ),
)


def test_pairs_are_of_calls_that_fit_beside_or_after_each_other_each_once() -> None:
    cases = list(overlaps("blocked", 2))
    pairs = [tuple(program[0].name for program in case.programs) for case in cases]
    assert ("TDH.MEM.PAGE.REMOVE", "TDH.PHYMEM.PAMT.REMOVE") in pairs, "one enables the other"
    assert len({frozenset(case.programs) for case in cases}) == len(cases)
    triples = list(islice(overlaps("pair", 3), 50))
    assert {case.operations for case in triples} == {3}
    assert {case.world.cpus for case in triples} == {3}


@pytest.mark.parametrize("setup", first_quick(2, ["blocked", "pair", "keyed", "teardown", "vcpu"]))
def test_leaving_out_orders_loses_no_bucket_and_no_final_state(setup: str) -> None:
    cases = Random(setup).sample(list(overlaps(setup, 2)), 3)
    if setup == "blocked":
        cases = [GIVES_BACK_IN_USE]
    for case in cases:
        few, all_of_them = (
            verify(case, bounds=Bounds(reduce=reduce), until=StopRule.EVERY_BUCKET)
            for reduce in (True, False)
        )
        assert set(few.firsts) == set(all_of_them.firsts)
        assert few.counts.finals == all_of_them.counts.finals
        assert few.counts.schedules <= all_of_them.counts.schedules
        if case is GIVES_BACK_IN_USE:
            assert set(few.firsts) == {FATAL, GIVEN_BACK}


def test_a_sweep_goes_on_after_findings_and_says_what_it_left_out() -> None:
    def cases() -> Iterator[Case]:
        yield GIVES_BACK_IN_USE
        yield from islice(overlaps("bare", 2), 2)

    swept = sweep(cases(), Bounds(preemptions=1))
    assert (swept.cases, swept.verdict, set(swept.firsts)) == (3, Verdict.FAIL, {FATAL, GIVEN_BACK})
    clean = sweep(islice(overlaps("bare", 2), 2), Bounds(preemptions=1))
    assert (clean.cases, clean.verdict, clean.unfinished) == (2, Verdict.PASS, "")
    cut = sweep(islice(overlaps("bare", 2), 2), Bounds(seconds=0.0))
    assert (cut.cases, cut.verdict) == (0, Verdict.UNKNOWN)
    assert cut.unfinished == "the bound of 0 s was reached"


@slow
def test_three_calls_are_told_apart_by_what_they_answered() -> None:
    """What RDMD answers is part of a state: a page's type among it."""
    calls = ("TDH.PHYMEM.PAGE.RDMD rcx=A0", "TDH.PHYMEM.PAMT.ADD rcx=A0|1 rdx=B0 r8=B1")
    first, add = map(Op.parse, calls)
    case = hostile_case("bare", 3, ((first,), (add,), (first,)))
    few, all_of_them = (
        verify(case, bounds=Bounds(reduce=reduce), until=StopRule.EVERY_BUCKET)
        for reduce in (True, False)
    )
    assert few.verdict is all_of_them.verdict is Verdict.PASS
    assert few.counts.finals == all_of_them.counts.finals
    assert "linearizable" in few.counts.seen
