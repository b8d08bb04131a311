"""The atheris target: executable, and what it finds can be decoded."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tdxfuzz
from tdxfuzz.host.designs import DESIGNS

TARGET = Path(tdxfuzz.__file__).parent / "fuzzers/host_ops.py"
needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="the extra [atheris] is not installed"
)


def fuzz(design: str, *options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TARGET), *options],
        env={**os.environ, "TDXFUZZ_DESIGN": design},
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def test_the_target_is_executable() -> None:
    assert os.access(TARGET, os.X_OK)
    assert TARGET.read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n")


@needs_atheris
def test_from_an_empty_corpus_the_target_finds_the_hint_race(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    ended = fuzz("hint", "-runs=20000", "-seed=1", "corpus", cwd=tmp_path)
    assert "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range" in ended.stdout + ended.stderr
    (crash,) = tmp_path.glob("crash-*")
    assert crash.stat().st_size < 200


@needs_atheris
def test_an_unknown_design_is_refused(tmp_path: Path) -> None:
    ended = fuzz("hnt", "-runs=1", cwd=tmp_path)
    assert ended.returncode != 0
    assert f"TDXFUZZ_DESIGN=hnt is not one of: {', '.join(DESIGNS)}" in ended.stderr
