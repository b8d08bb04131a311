"""One bug is one file: whatever seed found it, and whatever else the machine does."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from test_quality_designs import FOUND, first_of

from tdxfuzz.repro.save import save
from tdxfuzz.run.result import Run
from tdxfuzz.shrink.shrink import shrink
from tiers import only_quick, slow

SEEDS = range(1, 7)


def file_of(found: Run, folder: Path) -> tuple[str, bytes]:
    path = save(shrink(found).run, found, folder).path
    return path.name, path.read_bytes()


@pytest.mark.parametrize("design", only_quick(["rfc", "v3-base", "per-range-rwlock"], FOUND))
def test_each_bucket_of_a_design_is_one_file(design: str, tmp_path: Path) -> None:
    files = defaultdict(set)
    for seed in SEEDS:
        found = first_of(design, seed)
        assert found is not None
        assert found.finding is not None
        files[found.finding.bucket].add(file_of(found, tmp_path / str(seed)))
    assert {bucket: len(each) for bucket, each in files.items()} == dict.fromkeys(files, 1)


@slow
def test_a_busy_machine_shrinks_to_the_same_file(tmp_path: Path) -> None:
    found = first_of("hint", 3)
    assert found is not None
    quiet = file_of(found, tmp_path / "quiet")
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        assert file_of(found, tmp_path / "busy") == quiet
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
