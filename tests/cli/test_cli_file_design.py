"""Whose order a replay runs, and under which design: ``--design`` and ``--kvm`` of ``replay``."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Invoke
from golden_files import HINT_RACE

BUILT_IN = HINT_RACE.read_text(encoding="utf-8")
SOUND = """
from tdxfuzz.host.designs.hint import Hint
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.kvm import Kvm


class Mine(Merged):
    pass


class Racy(Hint):
    pass


class Other(Hint):
    pass


class hint(Merged):
    pass


class MyKvm(Kvm):
    pass
"""
HOSTILE = BUILT_IN.replace('name = "hint"', 'name = "hostile"')


def of(class_name: str) -> str:
    """The race of ``hint``, as a file of a user's design."""
    user = f'[design]\nname = "{class_name}"\nfile = "mine.py"\nclass_name = "{class_name}"\n'
    return BUILT_IN.replace('[design]\nname = "hint"', f'{user}sha256 = "{"0f" * 32}"')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file of a built-in design, one of a user's."""
    Path("mine.py").write_text(SOUND, encoding="utf-8")
    kept = Path("kept")
    kept.mkdir()
    (kept / "built-in.tdx.toml").write_text(BUILT_IN, encoding="utf-8")
    (kept / "mine.tdx.toml").write_text(of("Mine"), encoding="utf-8")
    return kept


def results(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines() if ".tdx.toml" in line]


def test_in_a_folder_a_file_of_a_built_in_design_runs_under_that(
    invoke: Invoke, folder: Path
) -> None:
    answer = invoke("replay", folder, "--design", "mine.py:Mine")
    assert (answer.code, results(answer.out)) == (1, ["FAILED", "FIXED"])
    assert "the order of" not in answer.out


def test_so_it_does_where_a_shell_has_listed_the_files(invoke: Invoke, folder: Path) -> None:
    answer = invoke("replay", *sorted(folder.iterdir()), "--design", "mine.py:Mine")
    assert (answer.code, results(answer.out)) == (1, ["FAILED", "FIXED"])


@pytest.mark.parametrize("name", ["hint", "merged"])
def test_a_user_s_class_with_the_name_of_a_built_in_design_is_not_that_design(
    invoke: Invoke, folder: Path, name: str
) -> None:
    design = {"hint": "mine.py:hint", "merged": "merged"}[name]
    answer = invoke("replay", folder, "--design", design)
    assert (answer.code, results(answer.out)) == (2, ["FAILED", "ERROR"])
    assert "add --design mine.py:Mine, or name this file alone to run it under" in answer.err


def test_in_a_folder_a_file_of_another_design_of_the_user_s_is_an_error(
    invoke: Invoke, folder: Path
) -> None:
    (folder / "other.tdx.toml").write_text(of("Other"), encoding="utf-8")
    answer = invoke("replay", folder, "--design", "mine.py:Mine")
    assert (answer.code, results(answer.out)) == (2, ["FAILED", "FIXED", "ERROR"])
    assert (
        "kept/other.tdx.toml: design.name: Other is a user's design; add --design mine.py:Other, "
        "or name this file alone to run it under mine.py:Mine\n"
    ) in answer.err


def test_one_file_runs_under_any_design_and_the_answer_says_whose_order_it_was(
    invoke: Invoke, folder: Path
) -> None:
    for design, code in (("mine.py:Mine", 0), ("mine.py:Racy", 1), ("merged", 0)):
        answer = invoke("replay", folder / "built-in.tdx.toml", "--design", design)
        assert answer.code == code
        assert f"         the order of hint, run under {design}\n" in answer.out
    answer = invoke("replay", folder / "built-in.tdx.toml", "--design", "merged", "--format=json")
    rows = answer.json["results"]
    assert isinstance(rows, list)
    assert (rows[0]["order_of"], rows[0]["under"]) == ("hint", "merged")
    same = invoke("replay", folder / "built-in.tdx.toml", "--design", "hint")
    assert (same.code, "the order of" in same.out) == (1, False)
    own = invoke("replay", folder / "mine.tdx.toml", "--design", "mine.py:Mine")
    assert (own.code, "the order of" in own.out) == (0, False)


def test_a_kvm_replaces_another_one_for_one_file_only(invoke: Invoke, folder: Path) -> None:
    kvm = ("--kvm", "mine.py:MyKvm", "--design", "mine.py:Mine")
    alone = invoke("replay", folder / "built-in.tdx.toml", *kvm[:2])
    assert "the order of hint, run under hint and mine.py:MyKvm\n" in alone.out
    (folder / "built-in.tdx.toml").write_text(
        BUILT_IN.replace('name = "hint"', 'name = "hint+NoTrack"'), encoding="utf-8"
    )
    both = invoke("replay", folder, *kvm)
    assert (both.code, results(both.out)) == (2, ["ERROR", "FIXED"])
    assert "add --kvm FILE.py:NoTrack, or name this file alone" in both.err


@pytest.mark.parametrize("option", [("--design", "mine.py:Mine"), ("--kvm", "mine.py:MyKvm")])
@pytest.mark.parametrize("command", ["replay", "show", "shrink"])
def test_raw_seamcalls_take_no_design(
    invoke: Invoke, folder: Path, command: str, option: tuple[str, str]
) -> None:
    Path("raw.tdx.toml").write_text(HOSTILE, encoding="utf-8")
    answer = invoke(command, "raw.tdx.toml", *option)
    assert answer.code == 2
    assert "raw SEAMCALLs have no host layer around them" in answer.err


def test_show_and_shrink_say_whose_order_it_is_too(invoke: Invoke, folder: Path) -> None:
    file = folder / "built-in.tdx.toml"
    shown = invoke("show", file, "--design", "mine.py:Racy")
    assert "this is the order of hint, run under mine.py:Racy" in shown.err
    shrunk = invoke("shrink", file, "--design", "mine.py:Racy")
    assert "the order of hint, run under mine.py:Racy; the new file names hint" in shrunk.out
