"""What a dead module leaves behind is no finding of its own: its death is."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from golden_files import REGRESSIONS
from tdxfuzz.check import HOSTILE_CHECKS
from tdxfuzz.repro.read import read
from tdxfuzz.run.session import run

FATAL = [path for path in REGRESSIONS if path.name.startswith("hostile-module-fatal")]


@pytest.mark.parametrize("path", FATAL, ids=lambda path: path.name)
def test_other_checks_are_silent_about_a_dead_module(path: Path) -> None:
    case = read(path).case
    assert run(case).findings[0].check == "module-fatal"
    others = tuple(check for check in HOSTILE_CHECKS if check not in ("module-fatal", "page-owner"))
    assert run(evolve(case, checks=others)).findings == ()


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.name)
def test_a_bucket_is_the_same_with_and_without_a_trace(path: Path) -> None:
    case = read(path).case
    buckets = [
        [found.bucket for found in run(case, traced=traced).findings] for traced in (False, True)
    ]
    assert buckets[0] == buckets[1] != []
