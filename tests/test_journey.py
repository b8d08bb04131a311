"""The functions and classes that pages of ``docs/`` name in a file are there, and the case that
docs/journey.md follows is the one that its command draws.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from golden_files import ROOT
from tdxfuzz.case.case import Case
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.run.result import Run
from tdxfuzz.shrink.shrink import shrink
from tiers import slow

NAMED = re.compile(r"`(tdxfuzz/[\w/]+\.py)`,\s+`([\w.]+)(?:\(\))?`")
"""`tdxfuzz/engines/hunt.py`, `hunt()`: a file, and what is in it."""

PAGES = ("journey.md", "glossary.md")


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a file defines: functions, classes, constants, and ``Class.method``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(_names(tree.body, ""))


def _names(body: list[ast.stmt], within: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield within + node.name
        if isinstance(node, ast.ClassDef):
            yield from _names(node.body, f"{within}{node.name}.")
        elif isinstance(node, ast.Assign):
            yield from (within + each.id for each in node.targets if isinstance(each, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield within + node.target.id


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page: str) -> None:
    named = NAMED.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert len(named) > 20
    gone = [f"{path}: {name}" for path, name in named if name not in names_in(ROOT / path)]
    assert gone == []


def test_a_name_that_is_not_there_is_seen() -> None:
    (hunt,) = NAMED.findall("`tdxfuzz/engines/hunt.py`, `haunt()`")
    assert hunt == ("tdxfuzz/engines/hunt.py", "haunt")
    assert "haunt" not in names_in(ROOT / hunt[0])
    assert "Worlds.ready" in names_in(ROOT / "tdxfuzz/run/worlds.py")


JOURNEY = (ROOT / "docs/journey.md").read_text(encoding="utf-8")


@cache
def found() -> tuple[Run, int]:
    """What `tdxfuzz hunt hint --seed 1` finds, and in which run."""
    result = hunt(HuntPlan("hint", Budget(cases=1000), seed=1))
    assert result.found is not None
    return result.found, result.statistics.cases


def as_shown(case: Case) -> str:
    """The set-up and the programs as the page shows them, in a block of a list."""
    lines = [f"set-up: {'; '.join(map(str, case.setup))}"]
    lines += [f"CPU {cpu}:  {'; '.join(map(str, each))}" for cpu, each in enumerate(case.programs)]
    return "".join(f"    {line}\n" for line in lines)


def test_the_case_of_the_journey_is_the_one_that_seed_1_draws() -> None:
    run, number = found()
    (switch,) = run.order
    assert f"```\n{as_shown(run.case)}    ```\n" in JOURNEY
    told = f"In run {number}, CPU 0 is preempted before step {switch.step}, inside PAGE.AUG."
    assert told in JOURNEY
    assert run.finding is not None
    assert f"`{run.finding.bucket}`" in JOURNEY


@slow
def test_the_journey_ends_with_what_the_shrinker_leaves() -> None:
    small = shrink(found()[0], None)
    (switch,) = small.run.order
    order = f"    before step {switch.step} continue with CPU {switch.cpu}\n"
    assert f"```\n{as_shown(small.run.case)}{order}    ```\n" in JOURNEY
    assert f"After {small.replays:,} runs it" in JOURNEY
    assert len(small.run.case.world.kernel_ranges) == 1
    assert len(found()[0].case.world.kernel_ranges) == 2
