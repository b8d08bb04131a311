"""The functions and classes that pages of ``docs/`` name in a file are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from golden_files import ROOT

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
