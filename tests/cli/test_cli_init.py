"""``tdxfuzz init``: what it writes works, and it overwrites nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from commands import Invoke
from tiers import slow

WRITTEN = ["conftest.py", "mylayer.py", "test_mylayer.py"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@slow
def test_a_design_is_written_that_holds(invoke: Invoke, tmp_path: Path) -> None:
    answer = invoke("init", "mylayer.py")
    assert (answer.code, answer.err) == (0, "")
    assert names(tmp_path) == WRITTEN
    assert answer.out.endswith("next: tdxfuzz hunt mylayer.py\n")
    assert "tdxfuzz hunt mylayer.py " in (tmp_path / "mylayer.py").read_text(encoding="utf-8")
    hunted = invoke("hunt", "mylayer.py", "--cases", 300, "--seed", 1)
    assert "MyLayer: nothing found in 300 cases" in hunted.out
    with_2mb = invoke("hunt", "mylayer.py", "--cases", 100, "--seed", 1, "--huge", "few")
    assert "MyLayer: nothing found in 100 cases" in with_2mb.out


@slow
def test_its_own_tests_pass_and_fail_when_it_is_broken(invoke: Invoke, tmp_path: Path) -> None:
    invoke("init", "mylayer.py")

    def run_tests() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "--hypothesis-profile=ci"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert "2 passed" in run_tests().stdout
    path = tmp_path / "mylayer.py"
    sound = path.read_text(encoding="utf-8")
    locked = "        with self.pamt_lock:\n            if not refcount.dec_and_test():\n"
    unlocked = "        gone = refcount.dec_and_test()\n        with self.pamt_lock:\n"
    broken = sound.replace(locked, f"{unlocked}            if not gone:\n")
    assert broken != sound
    path.write_text(broken, encoding="utf-8")
    failed = run_tests().stdout
    assert "2 failed" in failed
    assert "--design mylayer.py:MyLayer" in failed


@slow
def test_it_holds_in_every_order_of_a_scenario(invoke: Invoke) -> None:
    invoke("init", "mylayer.py")
    answer = invoke("verify", "mylayer.py", "--scenario", "map-zap")
    assert answer.code == 0


@pytest.mark.parametrize("there", ["mylayer.py", "test_mylayer.py"])
def test_no_file_is_overwritten(invoke: Invoke, tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine\n", encoding="utf-8")
    answer = invoke("init", "mylayer.py")
    assert answer.code == 2
    assert f"{there} is there already; it is not overwritten" in answer.err
    assert names(tmp_path) == [there], "nothing is written"
    assert (tmp_path / there).read_text(encoding="utf-8") == "mine\n"


def test_a_conftest_stays_and_what_it_lacks_is_told(invoke: Invoke, tmp_path: Path) -> None:
    conftest = tmp_path / "conftest.py"
    conftest.write_text("# mine\n", encoding="utf-8")
    answer = invoke("init", "mylayer.py")
    assert answer.code == 0
    assert 'it needs: pytest_plugins = ["tdxfuzz.pytest_plugin"]' in answer.out
    assert conftest.read_text(encoding="utf-8") == "# mine\n"
    conftest.write_text('pytest_plugins = ["tdxfuzz.pytest_plugin"]\n', encoding="utf-8")
    again = invoke("init", "sub/other.py")
    assert again.code == 0
    assert names(tmp_path / "sub") == ["other.py", "test_other.py"]
    third = invoke("init", "third.py")
    assert "conftest.py" not in third.out


@pytest.mark.parametrize(
    "mark", ["pyproject.toml", "pytest.ini", "setup.cfg", "tox.ini", ".git", "conftest.py"]
)
@pytest.mark.parametrize("where", ["sub/lay.py", "sub/deeper/lay.py"])
def test_in_a_project_the_line_belongs_to_the_conftest_of_its_root(
    invoke: Invoke, tmp_path: Path, mark: str, where: str
) -> None:
    (tmp_path / mark).touch()
    answer = invoke("init", where)
    assert answer.code == 0
    folder = (tmp_path / where).parent
    assert names(folder) == ["lay.py", "test_lay.py"]
    root = tmp_path / "conftest.py"
    if mark == "conftest.py":
        assert "conftest.py stays as it is; it needs: pytest_plugins = [" in answer.out
        assert root.read_text(encoding="utf-8") == ""
    else:
        assert "wrote conftest.py: the Hypothesis profiles" in answer.out
        assert "pytest_plugins" in root.read_text(encoding="utf-8")


@slow
def test_pytest_of_the_whole_project_runs_with_a_design_in_a_subfolder(
    invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "test_own.py").write_text("def test_own(): pass\n", encoding="utf-8")
    invoke("init", "sub/lay.py")
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "3 tests collected" in done.stdout


@pytest.mark.parametrize("name", ["my-layer.py", "mylayer", "mylayer.c", "7.py"])
def test_a_name_that_python_cannot_import_is_refused(
    invoke: Invoke, tmp_path: Path, name: str
) -> None:
    answer = invoke("init", name)
    assert answer.code == 2
    assert "not a name that Python can import" in answer.err
    assert names(tmp_path) == []
