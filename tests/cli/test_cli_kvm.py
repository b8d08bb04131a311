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


UNFIT = """
from contextlib import contextmanager
from tdxfuzz.abi import Registers, Status
from tdxfuzz.host import kvm


class NotPlain(kvm.Kvm):
    def no_vcpus(self, vm):
        yield


class Waits(kvm.Kvm):
    async def track(self, vm):
        return Status(0), Registers()


class NoMethod(kvm.Kvm):
    track = 5


class Property(kvm.Kvm):
    @property
    def track(self):
        return lambda vm: (Status(0), Registers())


class TakesNothing(kvm.Kvm):
    def track(self):
        return Status(0), Registers()


class TakesNoHint(kvm.Kvm):
    def free_control_page(self, pfn, kind):
        pass


class TakesNoHost(kvm.Kvm):
    def __init__(self):
        pass


class Misspelt(kvm.Kvm):
    def tdh_mem_track(self, vm):
        return Status(0), Registers()


class ForgetsHost(kvm.Kvm):
    def __init__(self, host):
        pass


class NothingOfPath(kvm.Kvm):
    def zap(self, vm, slot):
        super().zap(vm, slot)


class PositiveTopup(kvm.Kvm):
    def topup(self, vcpu):
        return 12


class BoolStatus(kvm.Kvm):
    def sept_add(self, vm, gpa, level, pfn):
        return True, Registers()


class TooLarge(kvm.Kvm):
    def sept_add(self, vm, gpa, level, pfn):
        return 1 << 64, Registers()


class ForgetsAnswer(kvm.Kvm):
    def call(self, make):
        make()


class Right(kvm.Kvm):
    @staticmethod
    def track(vm):
        return Status(0), Registers()

    def helper(self):
        return 0

    @contextmanager
    def no_vcpus(self, vm):
        self.helper()
        with super().no_vcpus(vm):
            yield
"""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("NotPlain", "NotPlain.no_vcpus must be a plain function, and no generator"),
        ("Waits", "Waits.track must be a plain function, and no coroutine"),
        ("NoMethod", "NoMethod.track must be a method"),
        ("Property", "Property.track must be a method"),
        ("TakesNothing", "TakesNothing.track must take the arguments of Kvm's: (self, vm)"),
        ("TakesNoHint", "TakesNoHint.free_control_page must take the arguments of Kvm's: (self,"),
        ("TakesNoHost", "TakesNoHost.__init__ must take the arguments of Kvm's: (self, host)"),
        (
            "Misspelt",
            "Misspelt.tdh_mem_track is no method of Kvm, and nothing calls it; did you mean track?",
        ),
    ],
)
def test_a_method_that_cannot_serve_is_one_line_before_anything_runs(
    invoke: Invoke, tmp_path: Path, name: str, told: str
) -> None:
    file = tmp_path / "unfit.py"
    file.write_text(UNFIT, encoding="utf-8")
    answer = invoke("verify", "merged", "--scenario", "zap-run", "--kvm", f"{file}:{name}")
    assert answer.code == 2
    assert answer.err.startswith(f"tdxfuzz: {file}: {told}")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ForgetsHost", "ForgetsHost.__init__() must call super().__init__(host)"),
        ("NothingOfPath", "zap() returned None; it must return 0 or a negative errno"),
        ("PositiveTopup", "topup() returned 12; it must return 0 or a negative errno"),
        ("BoolStatus", "sept_add() returned (True, <>); it must return (Status, Registers)"),
        ("TooLarge", "sept_add() returned (18446744073709551616, <>); it must return"),
        ("ForgetsAnswer", "call() returned None; it must return (Status, Registers)"),
    ],
)
def test_a_wrong_result_is_told_with_the_method_and_its_line(
    invoke: Invoke, tmp_path: Path, name: str, told: str
) -> None:
    file = tmp_path / "unfit.py"
    file.write_text(UNFIT, encoding="utf-8")
    kvm, out = ("--kvm", f"{file}:{name}"), ("--out", str(tmp_path / "out"))
    answer = invoke("hunt", "merged", "--cases", "30", "--seed", "1", *kvm, *out)
    assert answer.code == 2
    assert told in answer.err
    line = UNFIT[: UNFIT.index("def ", UNFIT.index(f"class {name}("))].count("\n") + 1
    assert f"({file}:{line})" in answer.err


def test_a_decorated_or_static_method_and_a_helper_are_right(
    invoke: Invoke, tmp_path: Path
) -> None:
    file = tmp_path / "unfit.py"
    file.write_text(UNFIT, encoding="utf-8")
    kvm = ("--kvm", f"{file}:Right")
    assert invoke("show", "zap-run", *kvm).code == 0
    hunt = ("hunt", "merged", "--scenario", "zap-run", "--cases", "30", "--seed", "1")
    assert invoke(*hunt, *kvm, "--out", str(tmp_path / "out")).code == 1
