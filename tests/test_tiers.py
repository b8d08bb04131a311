"""The quick tier still covers every room, every leaf and every bug that must be found."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import tdxfuzz
from module import guests
from quality.test_quality_designs import FOUND
from tdxfuzz.abi import BY_NUMBER, GUEST_BY_NUMBER
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.module.leaves.registry import GUEST_HANDLERS
from tiers import COLLECTED

TESTS = Path(__file__).parent
ROOMS = sorted(path.parent.name for path in Path(tdxfuzz.__file__).parent.glob("*/__init__.py"))

NEEDS_A_CLUSTER = {"campaign/test_campaign_cluster.py", "campaign/test_campaign_scheduler.py"}
KILLS = "campaign/test_campaign_kills.py"
ONLY_SLOW = {
    "quality/test_quality_designs.py::test_a_busy_machine_shrinks_to_the_same_file",
    "quality/test_quality_hypothesis.py::test_five_lines_pass_for_what_was_merged",
    "quality/test_quality_huge.py::test_a_default_hunt_finds_what_breaks_with_2mb_pages_only",
    "quality/test_quality_huge.py::test_the_trace_of_a_clash_is_short",
    "quality/test_quality_lazy.py::test_removing_late_is_no_mistake",
    "quality/test_quality_reported_kvm.py::test_a_hunt_draws_terminate_vm",
    "quality/test_quality_thread.py::test_a_split_meets_busy_from_another_td_and_no_kick_helps",
    "quality/test_quality_told_right.py::test_verify_and_a_default_hunt_try_the_same_2mb_pages",
}
"""What must not be found, the same file on a busy machine, what a hunt with 2MB pages alone
finds in a quick test, an operation that a scenario of quick tests has, and long shrinks of what a
quick test finds.
"""


@pytest.fixture
def collected(request: pytest.FixtureRequest) -> dict[str, str]:
    """Each test, named from its folder on, and its tier."""
    tests = {
        nodeid.removeprefix("tests/"): tier
        for nodeid, tier in request.config.stash[COLLECTED].items()
    }
    if {name.partition("::")[0] for name in tests} != {
        str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py")
    }:
        pytest.skip("tells something when all tests are collected")
    return tests


def quick(collected: dict[str, str]) -> list[str]:
    return [name for name, tier in collected.items() if tier == "quick"]


def test_a_file_of_tests_is_named_after_its_folder() -> None:
    folders = {path.parent.name for path in TESTS.glob("*/test_*.py")}
    assert set(ROOMS) <= folders
    for folder in folders:
        for path in (TESTS / folder).glob("test_*.py"):
            assert path.name.startswith(f"test_{folder}_"), path


def test_every_room_has_quick_tests(collected: dict[str, str]) -> None:
    rooms = Counter(name.partition("/")[0] for name in quick(collected))
    assert [room for room in ROOMS if not rooms[room]] == []


def test_every_file_has_quick_tests_but_those_of_clusters_and_kills(
    collected: dict[str, str],
) -> None:
    slow = {name.partition("::")[0] for name in collected} - {
        name.partition("::")[0] for name in quick(collected)
    }
    assert slow == {*NEEDS_A_CLUSTER, KILLS}


def named(leaf: str) -> str:
    """A pattern for a leaf in a test: its name, or the constant of ``module.guests`` for it."""
    short = leaf.partition(".")[2]
    constants = [name for name, value in vars(guests).items() if value == short]
    return "|".join([f'"{re.escape(short)}"', *(rf"\b{name}\b" for name in constants)])


def test_every_modelled_leaf_is_called_in_a_file_of_quick_tests(collected: dict[str, str]) -> None:
    files = {name.partition("::")[0] for name in quick(collected)}
    text = "\n".join(
        (TESTS / file).read_text(encoding="utf-8")
        for file in files
        if file.startswith("module/leaves/")
    )
    leaves = [str(BY_NUMBER[number]) for number in HANDLERS]
    leaves += [str(GUEST_BY_NUMBER[number]) for number in GUEST_HANDLERS]
    assert len(leaves) > 40
    assert [leaf for leaf in leaves if not re.search(named(leaf), text)] == []


def test_every_broken_design_must_be_found_by_a_quick_test(collected: dict[str, str]) -> None:
    name = "quality/test_quality_designs.py::test_a_broken_design_is_found"
    seeds = {
        design: [s for s in (1, 2) if collected[f"{name}[{design}-{s}]"] == "quick"]
        for design in FOUND
    }
    assert seeds == {design: [1] for design in FOUND}


def test_every_bug_that_must_be_found_is_found_by_a_quick_test(
    collected: dict[str, str],
) -> None:
    everything = {name.partition("[")[0] for name in collected if name.startswith("quality/")}
    assert everything - {name.partition("[")[0] for name in quick(collected)} == ONLY_SLOW


def test_most_tests_are_quick_and_few_are_long(collected: dict[str, str]) -> None:
    tiers = Counter(collected.values())
    assert 100 < tiers["slow"] < len(collected) / 10
    assert tiers["long"] < tiers["slow"] / 2
