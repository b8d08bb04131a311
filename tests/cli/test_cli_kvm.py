"""``--kvm FILE.py:Class``: a design under a KVM of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Invoke
from tiers import slow

TEXT = """
from tdxfuzz.abi import Registers, Status
from tdxfuzz.host import kvm


class NoRemove(kvm.Kvm):
    def page_remove(self, vm, gpa, level):
        return Status(0), Registers()


class ForgetsReturn(kvm.Kvm):
    def track(self, vm):
        super().track(vm)


class Raises(kvm.Kvm):
    def track(self, vm):
        raise ValueError("not today")


class Counts(kvm.Kvm):
    calls = 0

    def track(self, vm):
        Counts.calls += 1
        return super().track(vm)
"""

NOT_REMOVED = "unexpected-status/TDH.PHYMEM.PAGE.WBINVD/PAGE_METADATA_INCORRECT/-"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mykvm.py"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_hunt_finds_a_skipped_seamcall_and_the_reproducer_names_the_kvm(
    invoke: Invoke, file: Path, tmp_path: Path
) -> None:
    kvm = ("--kvm", f"{file}:NoRemove")
    out = ("--out", str(tmp_path / "out"))
    answer = invoke("hunt", "merged", *kvm, "--cases", "200", "--seed", "1", *out)
    assert answer.code == 1
    assert NOT_REMOVED in answer.out
    (path,) = (tmp_path / "out").iterdir()
    assert f"tdxfuzz replay {path} --kvm {file}:NoRemove" in answer.out
    text = path.read_text(encoding="utf-8")
    assert 'name = "merged+NoRemove"' in text
    assert '[kvm]\nfile = "mykvm.py"\nclass_name = "NoRemove"\nsha256 = "' in text
    assert invoke("replay", str(path), *kvm).out.startswith("FAILED")
    without = invoke("replay", str(path))
    assert without.code == 2
    assert "add --kvm mykvm.py:NoRemove" in without.err
    assert invoke("show", str(path), *kvm).code == 0
    assert invoke("shrink", str(path), *kvm, "--out", str(tmp_path / "s.tdx.toml")).code == 0
    test = invoke("show", str(path), "--as", "pytest").out
    loads = "under(DESIGNS['merged'], kvm_in(file_above(Path(__file__), 'mykvm.py'), 'NoRemove'))"
    assert loads in test


@pytest.mark.parametrize(
    "command",
    [
        ("verify", "v6", "--scenario", "map-zap"),
        pytest.param(("matrix", "v6", "--scenario", "map-zap", "--time", "1s"), marks=slow),
        ("campaign", "run", "DIR", "v6", "--cases", "100", "--workers", "1", "--batch", "50"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_takes_a_design_takes_a_kvm(
    invoke: Invoke, file: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    words = [str(tmp_path / "camp") if word == "DIR" else word for word in command]
    out = () if command[0] == "campaign" else ("--out", str(tmp_path / "out"))
    answer = invoke(*words, "--kvm", f"{file}:NoRemove", *out)
    assert answer.code == 1, answer.err
    assert "v6+NoRemove" in answer.out


def test_a_kvm_that_raises_or_keeps_state_is_named(
    invoke: Invoke, file: Path, tmp_path: Path
) -> None:
    hunt = ("hunt", "merged", "--cases", "20", "--seed", "1", "--out", str(tmp_path), "--kvm")
    raised = invoke(*hunt, f"{file}:Raises")
    assert raised.code == 2
    assert f"KVM Raises raised ValueError: not today ({file}:18)" in raised.err
    forgot = invoke(*hunt, f"{file}:ForgetsReturn")
    assert forgot.code == 2
    told = "KVM's track() returned None; it must return (Status, Registers)"
    assert f"{told} ({file}:12)" in forgot.err
    kept = invoke(*hunt, f"{file}:Counts")
    assert kept.code == 2
    assert "KVM Counts keeps state outside of cells: class attribute Counts.calls" in kept.err


def test_a_kvm_that_does_not_exist_is_one_line(invoke: Invoke, file: Path) -> None:
    for argument, told in (
        (f"{file}:Nope", "no KVM class 'Nope'; it has: NoRemove, ForgetsReturn, Raises, Counts"),
        (
            str(file),
            "name a class (FILE.py:Class); it has: NoRemove, ForgetsReturn, Raises, Counts",
        ),
        ("nofile.py:NoRemove", "no KVM file 'nofile.py'"),
    ):
        answer = invoke("hunt", "merged", "--kvm", argument)
        assert answer.code == 2
        assert answer.err.strip().count("\n") == 0
        assert told in answer.err


def test_raw_seamcalls_have_no_kvm(invoke: Invoke, file: Path) -> None:
    answer = invoke("hunt", "hostile", "--kvm", f"{file}:NoRemove")
    assert answer.code == 2
    assert "hostile takes no --kvm" in answer.err
