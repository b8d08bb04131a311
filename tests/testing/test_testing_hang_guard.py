"""A run that no exception can end ends pytest, with one line that says where it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tdxfuzz.testing import hang_helper
from tdxfuzz.testing.hang_helper import place
from tiers import slow

OURS = Path(hang_helper.__file__).parents[1]

CONFTEST = """
from tdxfuzz.testing import hang_guard

pytest_plugins = ["tdxfuzz.pytest_plugin"]
hang_guard.TICKS = 6
"""

TEST = """
import re
import time

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.session import run


class Mine(Merged):
    def put(self, pfn, hint=False):
        super().put(pfn, hint)
        body()


def body():
    BODY


def test_it():
    run(Case("Mine", World(cpus=1), (), ((Op("create", (0,)), Op("destroy", (0,))),)), Mine)
    AFTER
"""

IN_C = 're.match(r"(a+)+$", "a" * 64 + "b")'


def pytest_of(folder: Path, body: str, after: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    source = TEST.replace("BODY", body).replace("AFTER", after)
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@slow
def test_a_run_that_hangs_in_c_ends_pytest_with_its_line(tmp_path: Path) -> None:
    ran = pytest_of(tmp_path, IN_C)
    assert ran.returncode == -9
    line = TEST[: TEST.index("BODY")].count("\n") + 1
    (told,) = ran.stderr.split("\n")[1:-1]
    assert told.startswith(f"tdxfuzz: a design hangs in body ({tmp_path}/test_it.py:{line}), ")


@slow
def test_a_test_may_be_silent_when_no_run_is_under_way(tmp_path: Path) -> None:
    ran = pytest_of(tmp_path, "pass", "time.sleep(3)")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ([f"{OURS}/sim/cpu.py", "/home/me/mine.py", "/home/me/test_it.py"], "/home/me/mine.py"),
        (["/venv/site-packages/execnet/io.py", "/home/me/mine.py"], "/home/me/mine.py"),
        ([os.__file__, "/venv/site-packages/layers/mine.py"], "/venv/site-packages/layers/mine.py"),
        ([os.__file__, f"{OURS}/sim/cpu.py"], None),
    ],
    ids=["a design", "another thread", "an installed design", "none"],
)
def test_the_place_is_the_innermost_that_is_nobodys_library(
    files: list[str], named: str | None
) -> None:
    stack = "".join(f'  File "{file}", line {n} in get\n' for n, file in enumerate(files, 1))
    at = "" if named is None else f" in get ({named}:{files.index(named) + 1})"
    assert place(stack) == at
