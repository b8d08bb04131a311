"""What a verdict covers is read from its case and bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import ALLOC
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS, with_cpus
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.sim import Fault
from tdxfuzz.verify.covers import Covers, covers, not_covered
from tdxfuzz.verify.worklist import Bounds

CASE = SCENARIOS["map-zap"].case("v6")


def of(case: Case, preemptions: int | None = None) -> Covers:
    return covers(case, Bounds(preemptions))


def test_2mb_pages_are_covered_by_an_operation_on_an_area() -> None:
    assert not of(CASE).huge_pages
    assert of(SCENARIOS["split-map"].case("v6")).huge_pages
    with_areas = evolve(CASE, world=evolve(CASE.world, areas=1))
    assert not of(with_areas).huge_pages, "an area alone is not used"


def test_faults_are_covered_by_those_of_the_case() -> None:
    assert of(evolve(CASE, faults=(Fault(ALLOC, 3),))).faults == ("alloc",)


def test_a_vcpu_runs_where_a_guest_is_entered() -> None:
    enters = Op("TDH.VP.ENTER", (1,) * len(Op.parse("TDH.VP.ENTER").args))
    assert of(evolve(CASE, programs=((enters,), ()))).running_vcpus
    assert not of(CASE).running_vcpus


def test_the_check_that_only_layers_in_c_have_is_covered_or_named() -> None:
    layer = type("InC", (Merged,), {"c_file": Path("layer.c")})
    case = evolve(CASE, design="InC")
    assert "data-race" in covers(case, Bounds(1), layer).checks
    narrowed = covers(evolve(case, checks=("refcount",)), Bounds(1), layer)
    assert "data-race" in narrowed.silent


def test_checks_that_are_not_asked_for_are_not_covered() -> None:
    alone = of(evolve(CASE, checks=("refcount",)))
    assert alone.checks == ("refcount",)
    assert "what atomic-sleep, cache-underflow" in not_covered([alone])
    assert "what " not in not_covered([of(CASE)])
    assert "what " not in not_covered([of(CASE), alone])


@pytest.mark.parametrize(
    ("passes", "words"),
    [
        ([of(CASE)], "more than 2 CPUs; 2MB pages"),
        ([of(CASE, 2)], "more than 2 CPUs; more than 2 preemptions; 2MB pages"),
        (
            [of(CASE), of(CASE, 1)],
            "more than 2 CPUs; more than 1 preemption in 1 of 2 results; 2MB",
        ),
        ([of(CASE), of(SCENARIOS["split-map"].case("v6"))], "more than 2 CPUs; running vCPUs"),
        ([of(with_cpus(SCENARIOS["map-zap"], 3).case("v6"))], "more than 3 CPUs; 2MB pages"),
    ],
)
def test_what_several_passes_leave_out(passes: list[Covers], words: str) -> None:
    assert not_covered(passes).startswith(words)
