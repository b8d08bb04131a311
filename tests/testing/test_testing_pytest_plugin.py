"""Profiles: what ``--hypothesis-profile`` offers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from golden_files import HINT_RACE
from tdxfuzz.repro.read import read
from tiers import slow

CI_VARIABLES = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE")
"""Some of those by which Hypothesis recognises a CI machine."""

DESK: dict[str, str] = {}
CI_MACHINE = {"CI": "true"}

PRINT_PROFILES = """
from hypothesis import settings
import tdxfuzz.pytest_plugin
for name in ("dev", "ci", "nightly"):
    p = settings.get_profile(name)
    print(name, p.max_examples, p.derandomize, p.database is not None, p.deadline)
"""


@pytest.mark.parametrize("machine", [DESK, CI_MACHINE], ids=["desk", "ci-machine"])
def test_profiles_are_the_same_on_every_machine(machine: Mapping[str, str]) -> None:
    # Hypothesis reads the environment when it is imported, hence a fresh interpreter.
    printed = subprocess.run(
        [sys.executable, "-c", PRINT_PROFILES],
        env=on(machine),
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

{decorators}
@given(cases({design}))
def test_no_race(case):
    assert_clean(case)
"""

MACHINE = """
from tdxfuzz.stateful import concurrent_machine

TestMachine = concurrent_machine({design}).TestCase
"""

CONFTEST = 'pytest_plugins = ["tdxfuzz.pytest_plugin"]\n'

DESIGN = """
from tdxfuzz.host.designs.hint import Hint

class MyLayer(Hint):
    pass
"""

MOST_LINES = 60


def on(machine: Mapping[str, str]) -> dict[str, str]:
    """The environment of a machine on which nothing but ``machine`` tells Hypothesis and pytest
    that it is one for CI.
    """
    return {k: v for k, v in os.environ.items() if k not in CI_VARIABLES} | dict(machine)


def run_users_test(
    folder: Path,
    design: str,
    *options: str,
    source: str = USERS_TEST,
    decorators: str = "",
    machine: Mapping[str, str] = DESK,
) -> str:
    """What pytest prints for the five-line test of the tutorial."""
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    text = source.format(design=design, decorators=decorators)
    (folder / "test_mine.py").write_text(text, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, "test_mine.py"],
        env=on(machine) | {"TDXFUZZ_OUT": "found"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return ended.stdout


def last_of_the_failure(printed: str) -> str:
    """The last line of what pytest prints about a test, its own line left out."""
    failure, _, _ = printed.partition("=== short test summary info ===")
    lines = [line for line in failure.rstrip("= \n").splitlines() if line.strip("E ")]
    return lines[-2]


@pytest.mark.parametrize(
    ("options", "decorators", "machine"),
    [
        ((), "", DESK),
        pytest.param((), "", CI_MACHINE, marks=slow),
        pytest.param(("--hypothesis-profile=ci",), "", DESK, marks=slow),
        pytest.param(("--hypothesis-profile=nightly",), "", DESK, marks=slow),
        pytest.param(
            (), "import hypothesis\n@hypothesis.settings(max_examples=300)", DESK, marks=slow
        ),
        pytest.param(
            ("-p", "no:cacheprovider"),
            "from hypothesis import Phase, settings\n@settings(phases=list(Phase))",
            DESK,
            marks=slow,
        ),
    ],
)
def test_a_failing_test_ends_in_its_trace(
    tmp_path: Path, options: tuple[str, ...], decorators: str, machine: Mapping[str, str]
) -> None:
    options = (*options, "--hypothesis-seed=1")
    printed = run_users_test(tmp_path, "'hint'", *options, decorators=decorators, machine=machine)
    (reproducer,) = (tmp_path / "found").iterdir()
    assert read(reproducer).expect.check == "pamt-in-use"
    assert "1 failed" in printed
    assert f"Reproduce with: tdxfuzz replay found/{reproducer.name}\n" in printed
    assert last_of_the_failure(printed).startswith("E       2MB ranges: A = ")
    assert printed.count("2MB ranges: A = ") == 1
    assert len(printed.splitlines()) <= MOST_LINES
    for ours in ("assertions.py", "shrink.py", "Failing test case", "Falsifying", "Explanation"):
        assert ours not in printed


@slow
def test_a_failing_machine_ends_in_its_trace(tmp_path: Path) -> None:
    printed = run_users_test(tmp_path, "'hint'", "--hypothesis-profile=ci", source=MACHINE)
    assert "1 failed" in printed
    assert last_of_the_failure(printed).startswith("E   2MB ranges: A = ")
    assert len(printed.splitlines()) <= MOST_LINES
    assert "tdxfuzz/testing/" not in printed


@slow
def test_the_database_remembers_what_failed(tmp_path: Path) -> None:
    many = "from hypothesis import settings\n@settings(max_examples=400)"
    assert "1 failed" in run_users_test(tmp_path, "'hint'", decorators=many)
    only_old = (
        "from hypothesis import Phase, settings\n@settings(phases=[Phase.reuse, Phase.shrink])"
    )
    again = run_users_test(tmp_path, "'hint'", decorators=only_old)
    assert "BrokenAtOnce: pamt-in-use" in again


@slow
@pytest.mark.parametrize("design", ["'mylayer.py:MyLayer'", "MyLayer"])
def test_what_is_printed_for_a_design_of_ones_own_works_as_printed(
    tmp_path: Path, design: str
) -> None:
    (tmp_path / "mylayer.py").write_text(DESIGN, encoding="utf-8")
    source = "from mylayer import MyLayer\n" + USERS_TEST
    printed = run_users_test(tmp_path, design, "--hypothesis-seed=1", source=source)
    replay, again = (
        line.partition(": ")[2]
        for line in printed.splitlines()
        if "Reproduce with: " in line or " or: pytest" in line
    )
    commands = f'tdxfuzz() {{ {sys.executable} -m tdxfuzz "$@"; }}\n'
    commands += f'pytest() {{ {sys.executable} -m pytest -q "$@"; }}\n'
    replayed = subprocess.run(
        ["bash", "-c", commands + replay], cwd=tmp_path, capture_output=True, text=True
    )
    assert (replayed.returncode, replayed.stderr) == (1, "")
    assert replayed.stdout.startswith("FAILED ")
    tested = subprocess.run(
        ["bash", "-c", commands + again], cwd=tmp_path, capture_output=True, text=True
    )
    assert tested.returncode == 1
    assert "FAILED: this reproducer shows pamt-in-use" in tested.stdout
    assert "1 failed, 1 deselected" in tested.stdout


PRINTS = """
from hypothesis import settings

def test_it():
    print("examples:", settings().max_examples)
"""


@pytest.mark.parametrize(
    ("machine", "options", "examples"),
    [
        (DESK, (), 50),
        (CI_MACHINE, (), 200),
        pytest.param(DESK, ("--hypothesis-profile=ci",), 200, marks=slow),
        (DESK, ("-p", "own"), 7),
        pytest.param(CI_MACHINE, ("-p", "own"), 7, marks=slow),
    ],
)
def test_dev_is_used_on_a_desk_and_ci_on_a_ci_machine_where_nobody_has_chosen_a_profile(
    tmp_path: Path, machine: Mapping[str, str], options: tuple[str, ...], examples: int
) -> None:
    own = "from hypothesis import settings\nsettings.register_profile('own', max_examples=7)\n"
    (tmp_path / "own.py").write_text(own + "settings.load_profile('own')\n", encoding="utf-8")
    printed = run_users_test(tmp_path, "", "-s", *options, source=PRINTS, machine=machine)
    assert f"examples: {examples}\n" in printed


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
    (tmp_path / "nowhere").mkdir()
    ended = run_pytest(tmp_path, "--tdx-regressions", "nowhere")
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--tdx-regressions nowhere: no reproducers (*.tdx.toml) in this folder" in ended.stderr


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
    good += "\nclass Another(Merged):\n    pass\n"
    (tmp_path / "mine.py").write_text(good, encoding="utf-8")
    another = run_pytest(tmp_path, "--tdx-regressions", "kept", "--tdx-design", "mine.py:Another")
    assert "design.name: Mine is another design than mine.py:Another" in another.stdout
    given = run_pytest(tmp_path, "--tdx-regressions", "kept", "--tdx-design", "mine.py:Mine")
    assert "1 passed" in given.stdout
    wrong = run_pytest(tmp_path, "--tdx-regressions", "kept", "--tdx-design", "mine.py:Yours")
    assert "mine.py: no design class 'Yours'; it has: Mine, Another" in wrong.stdout


@slow
def test_the_statistics_tell_what_the_runs_were_like(tmp_path: Path) -> None:
    printed = run_users_test(
        tmp_path, "'merged'", "--hypothesis-profile=ci", "--hypothesis-show-statistics"
    )
    assert "1 passed" in printed
    for line in ("contention: edge", "contention: none", "busy: never"):
        assert line in printed
