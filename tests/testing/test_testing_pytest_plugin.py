"""Profiles: what ``--hypothesis-profile`` offers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from golden_files import HINT_RACE
from tdxfuzz.repro.read import read
from tiers import slow

CI_VARIABLES = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE")
"""Some of those by which Hypothesis recognises a CI machine."""

PRINT_PROFILES = """
from hypothesis import settings
import tdxfuzz.pytest_plugin
for name in ("dev", "ci", "nightly"):
    p = settings.get_profile(name)
    print(name, p.max_examples, p.derandomize, p.database is not None, p.deadline)
"""


@pytest.mark.parametrize("machine", [{}, {"CI": "true"}], ids=["desk", "ci-machine"])
def test_profiles_are_the_same_on_every_machine(machine: dict[str, str]) -> None:
    # Hypothesis reads the environment when it is imported, hence a fresh interpreter.
    environment = {k: v for k, v in os.environ.items() if k not in CI_VARIABLES}
    printed = subprocess.run(
        [sys.executable, "-c", PRINT_PROFILES],
        env=environment | machine,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.splitlines() == [
        "dev 50 False True None",
        "ci 200 True False None",
        "nightly 5000 False True None",
    ]


USERS_TEST = """
from hypothesis import given
from tdxfuzz.assertions import assert_clean
from tdxfuzz.strategies import cases

@given(cases("{design}"))
def test_no_race(case):
    assert_clean(case)
"""


def run_users_test(folder: Path, design: str, *options: str) -> str:
    """What pytest prints for the five-line test of the tutorial."""
    (folder / "test_mine.py").write_text(USERS_TEST.format(design=design), encoding="utf-8")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "tdxfuzz.pytest_plugin", *options)
    ended = subprocess.run(
        [*command, "test_mine.py"],
        env={**os.environ, "TDXFUZZ_OUT": "found"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return ended.stdout


@slow
def test_a_users_test_in_five_lines_ends_in_a_reproducer(tmp_path: Path) -> None:
    printed = run_users_test(tmp_path, "hint", "--hypothesis-profile=nightly")
    (reproducer,) = (tmp_path / "found").iterdir()
    assert f"Reproduce with: tdxfuzz replay found/{reproducer.name}" in printed
    assert "the case that Hypothesis drew:" in printed
    assert "1 failed" in printed
    assert read(reproducer).expect.check == "pamt-in-use"
    again = run_users_test(
        tmp_path, "hint", "--hypothesis-profile=nightly", "--hypothesis-show-statistics"
    )
    assert "during reuse phase" in again, "the database remembers the example"
    assert "during generate phase" not in again


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tdxfuzz.pytest_plugin", *options],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_reproducers_are_tests(tmp_path: Path) -> None:
    """One whose bug shows fails with its trace; one without passes; a broken file says so."""
    kept = tmp_path / "kept"
    kept.mkdir()
    text = HINT_RACE.read_text(encoding="utf-8")
    (kept / "bug.tdx.toml").write_text(text, encoding="utf-8")
    fixed = text.replace('name = "hint"', 'name = "merged"')
    (kept / "fixed.tdx.toml").write_text(fixed, encoding="utf-8")
    (kept / "corrupt.tdx.toml").write_text("format = 1\n", encoding="utf-8")
    ended = run_pytest(tmp_path, "--tdx-regressions", "kept")
    assert ended.returncode == 1
    assert "2 failed, 1 passed" in ended.stdout
    bucket = "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"
    assert f"FAILED: this reproducer shows {bucket}" in ended.stdout
    assert "^ pamt-in-use: " in ended.stdout
    assert f"Reproduce with: tdxfuzz replay {kept / 'bug.tdx.toml'}" in ended.stdout
    assert f"or: pytest -p tdxfuzz.pytest_plugin --tdx-regressions {kept} -k bug" in ended.stdout
    assert "corrupt.tdx.toml: model: " in ended.stdout.replace("\n", " ")
    assert "Traceback" not in ended.stdout
    only = run_pytest(tmp_path, "--tdx-regressions", "kept", "-m", "tdxfuzz", "-k", "fixed")
    assert only.returncode == 0
    assert "1 passed, 2 deselected" in only.stdout
    assert run_pytest(tmp_path, "kept").returncode == 5, "nothing is collected unasked"


@slow
def test_reproducers_are_tests_for_several_workers_too(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    text = HINT_RACE.read_text(encoding="utf-8")
    (kept / "bug.tdx.toml").write_text(text, encoding="utf-8")
    for i in range(5):
        fixed = text.replace('name = "hint"', 'name = "merged"')
        (kept / f"fixed-{i}.tdx.toml").write_text(fixed, encoding="utf-8")
    ended = run_pytest(tmp_path, "-n", "2", "--tdx-regressions", "kept")
    assert ended.returncode == 1
    assert "1 failed, 5 passed" in ended.stdout
    assert "^ pamt-in-use: " in ended.stdout


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    ended = run_pytest(tmp_path, "--tdx-regressions", "nowhere")
    assert ended.returncode == 4
    assert "--tdx-regressions nowhere: no such folder" in ended.stderr


@slow
def test_a_reproducer_of_a_users_design_needs_it(tmp_path: Path) -> None:
    user = '[design]\nname = "Mine"\nfile = "mine.py"\nclass_name = "Mine"\n'
    user += f'sha256 = "{"0f" * 32}"'
    text = HINT_RACE.read_text(encoding="utf-8").replace('[design]\nname = "hint"', user)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/bug.tdx.toml").write_text(text, encoding="utf-8")
    without = run_pytest(tmp_path, "--tdx-regressions", "kept")
    assert "add --tdx-design mine.py:Mine" in without.stdout
    good = "from tdxfuzz.host.designs.merged import Merged\n\nclass Mine(Merged):\n    pass\n"
    (tmp_path / "mine.py").write_text(good, encoding="utf-8")
    given = run_pytest(tmp_path, "--tdx-regressions", "kept", "--tdx-design", "mine.py:Mine")
    assert "1 passed" in given.stdout
    wrong = run_pytest(tmp_path, "--tdx-regressions", "kept", "--tdx-design", "mine.py:Yours")
    assert "mine.py: no design class 'Yours'; it has: Mine" in wrong.stdout


@slow
def test_the_statistics_tell_what_the_runs_were_like(tmp_path: Path) -> None:
    printed = run_users_test(
        tmp_path, "merged", "--hypothesis-profile=ci", "--hypothesis-show-statistics"
    )
    assert "1 passed" in printed
    for line in ("contention: edge", "contention: none", "busy: never"):
        assert line in printed
    assert "Highest target scores:" in printed
    assert "(label='steps from entering get or put to leaving it')" in printed
