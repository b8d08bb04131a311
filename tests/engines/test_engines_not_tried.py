"""What a hunt did not try: from its plan, and from what was really run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.check import CHECKS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.not_tried import not_tried
from tdxfuzz.engines.plan import HYPOTHESIS, Budget, HuntPlan
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.generate.huge_programs import EVERY_REAL, Huge
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.testing.hypothesis_hunt import hunt_with_hypothesis

REORDERING = "reordering of memory accesses by a CPU"
FEW = "2MB pages split into 512 (they were split into 4)"


def left_out(cases: int = 250, **options: object) -> list[str]:
    plan = HuntPlan("merged", Budget(cases=cases), **options)  # type: ignore[arg-type]
    search = hunt_with_hypothesis if plan.engine == HYPOTHESIS else hunt
    return not_tried(plan, search(plan).statistics)


def test_a_default_hunt_leaves_out_what_nothing_draws() -> None:
    assert left_out() == [
        FEW,
        "more than 2 CPUs",
        "faults: busy, refuse, entropy, interrupt",
        REORDERING,
    ]


def test_without_2mb_pages_that_is_the_first_to_be_said() -> None:
    assert left_out(huge=Huge(0))[0] == "2MB pages"
    assert left_out(engine=HYPOTHESIS)[0] == FEW
    # Asked for, but none was drawn yet.
    assert left_out(cases=1)[0] == "2MB pages"


def test_2mb_pages_of_the_real_size_leave_nothing_of_them_out() -> None:
    assert left_out(cases=2, huge=EVERY_REAL)[0] == "running vCPUs"


def test_histories_are_as_long_as_they_were() -> None:
    (said,) = (text for text in left_out(cases=1) if text.startswith("histories"))
    assert int(said.split()[-2]) < 32


@pytest.mark.parametrize(
    ("cpus", "said"), [(1, "more than one CPU"), (3, "more than 3 CPUs"), (8, None)]
)
def test_cpus_are_counted(cpus: int, said: str | None) -> None:
    found = [text for text in left_out(cases=40, cpus=cpus) if text.endswith((" CPU", " CPUs"))]
    assert [text for text in found if text != REORDERING] == ([said] if said else [])


def test_faults_are_those_that_were_injected() -> None:
    assert "faults: busy, refuse" in left_out(faults=("entropy", "interrupt"), cases=120)
    said = left_out(cases=5, scenario=SCENARIOS["map-zap"])
    assert "faults: alloc, busy, refuse, entropy, interrupt" in said


def test_checks_that_did_not_listen_are_named() -> None:
    others = [check for check in CHECKS if check != "refcount"]
    assert f"checks: {', '.join(others)}" in left_out(cases=20, checks=("refcount",))


class InC(Merged):
    """As if its functions were in C."""

    c_file = Path("mine.c")


def test_what_only_c_can_break_is_named_as_well() -> None:
    plan = HuntPlan("InC", Budget(cases=1), design=InC, checks=("refcount",))
    (said,) = (text for text in not_tried(plan, Statistics(plan.checks)) if "checks:" in text)
    assert said.endswith("data-race")


def test_a_scenario_says_that_it_was_all() -> None:
    assert left_out(cases=20, scenario=SCENARIOS["map-zap"])[:3] == [
        "2MB pages",
        "running vCPUs",
        "programs other than map-zap",
    ]
    assert left_out(cases=20, scenario=SCENARIOS["split-map"])[0] == FEW


def test_raw_seamcalls_run_vcpus_and_split_2mb_pages() -> None:
    plan = HuntPlan("hostile", Budget(cases=600))
    said = not_tried(plan, hunt(plan).statistics)
    assert "running vCPUs" not in said
    assert "2MB pages" not in said
    assert "faults: alloc, busy, refuse, entropy, interrupt" in said


@pytest.mark.parametrize(
    ("text", "huge"),
    [
        ("map 0 0", False),
        ("map2m 0 0", True),
        ("promote 0 0", True),
        ("TDH.MEM.PAGE.DEMOTE rcx=0x1", True),
        ("TDH.MEM.PAGE.AUG rcx=0x1", True),
        ("TDH.MEM.PAGE.AUG rcx=0x200000", False),
        ("TDH.MEM.PAGE.REMOVE rcx=0x1", False),
    ],
)
def test_what_is_about_2mb_pages(text: str, huge: bool) -> None:
    assert Op.parse(text).is_huge is huge
