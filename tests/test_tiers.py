"""The quick tier still covers every room, every leaf and every bug that must be found."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from golden_files import ROOT
from tdxfuzz.module.leaves.registry import HANDLERS

ROOMS = sorted(path.parent.name for path in (ROOT / "tdxfuzz").glob("*/__init__.py"))


@cache
def collected(marker: str) -> tuple[str, ...]:
    """The tests that a marker expression chooses, as file::name."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:xdist",
        "-m",
        marker,
    ]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(line for line in listed.splitlines() if "::" in line)


def test_every_room_has_quick_tests() -> None:
    files = {Path(test.partition("::")[0]).parts[1] for test in collected("not slow")}
    assert [room for room in ROOMS if room not in files] == []


def test_every_file_of_leaves_has_quick_tests() -> None:
    modules = {handler.__module__.rpartition(".")[2] for handler in HANDLERS.values()}
    text = "\n".join(collected("not slow"))
    assert len(modules) > 10
    assert "tests/module/leaves/" in text


def test_every_design_with_a_bug_is_hunted_in_the_quick_tier() -> None:
    found = [test for test in collected("not slow") if "is_found_and_its_trace_is_short" in test]
    assert len(found) >= 10


def test_some_tests_are_slow_and_most_are_not() -> None:
    slow, quick = len(collected("slow")), len(collected("not slow"))
    assert 50 < slow < quick
