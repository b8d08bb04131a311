"""Findings that docs/findings.md describes: each is a section there, and is told with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Invoke
from golden_files import ROOT
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.check import ALL_CHECKS
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.known import KNOWN, known_buckets, known_heading, known_text
from tdxfuzz.repro.read import read

PAGE = (ROOT / "docs/findings.md").read_text("utf-8")


def test_each_known_finding_is_a_section_of_the_page() -> None:
    headings = [line.lstrip("#").strip() for line in PAGE.splitlines() if line.startswith("##")]
    assert [one.heading for one in KNOWN if one.heading not in headings] == []
    assert {name for one in KNOWN for name in one.designs} <= {*DESIGNS, HOSTILE}
    assert {bucket.partition("/")[0] for one in KNOWN for bucket in one.buckets} <= set(ALL_CHECKS)


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "corpus/regressions").glob("hostile-*.tdx.toml")),
    ids=lambda path: path.name.split(".")[0],
)
def test_every_committed_finding_of_a_hostile_host_is_known(path: Path) -> None:
    kept = read(path)
    assert known_heading(kept.case.design, kept.expect.bucket)


def test_the_bug_of_one_design_is_not_known_of_another() -> None:
    bucket = next(iter(known_buckets("v5") - known_buckets("v6")))
    assert known_text("v5", bucket).startswith("known: docs/findings.md, ")
    assert known_text("v6", bucket) == ""
    assert known_buckets("merged") == frozenset()


def test_a_hunt_names_the_section_of_what_it_found(invoke: Invoke, tmp_path: Path) -> None:
    answer = invoke("hunt", "hint", "--seed", 1, "--cases", 2_000, "--out", tmp_path)
    assert answer.code == 1
    (told,) = [line for line in answer.out.splitlines() if line.startswith("known: ")]
    assert told.endswith("Schemes that follow the module's hints: the module can be shut down")
