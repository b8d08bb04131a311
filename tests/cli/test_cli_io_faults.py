"""A disk that is full, or breaks, at any moment: a finding is in its file or on the screen."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from commands import Answer, Invoke
from golden_files import HINT_RACE
from tiers import long, slow

COMMANDS = {
    "hunt": ("hunt", "hint", "--seed", 1, "--cases", 500),
    "hunt json": ("hunt", "hint", "--seed", 1, "--cases", 500, "--format", "json"),
    "verify": ("verify", "hint", "--scenario", "map-zap", "--time", "60s"),
    "shrink": ("shrink", HINT_RACE, "--out", "reproducers/small.tdx.toml"),
    "compare": ("matrix", "--compare", "hint", "merged", "--time", "1s"),
}

PLACES: tuple[tuple[Any, str], ...] = (
    (tempfile, "mkstemp"),
    (tempfile, "NamedTemporaryFile"),
    (os, "fchmod"),
    (os, "fdopen"),
    (os, "fsync"),
    (Path, "mkdir"),
    (Path, "replace"),
)
"""Functions through which files are written."""


class FullDisk(io.StringIO):
    """A file that takes nothing."""

    def write(self, text: str, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Faults:
    """The calls of these functions, of which the ``at``-th fails, and with ``stays`` all later."""

    def __init__(self, at: int, number: int, stays: bool) -> None:
        self.at, self.number, self.stays = at, number, stays
        self.calls = 0

    @property
    def met(self) -> bool:
        return self.calls >= self.at

    def due(self) -> bool:
        self.calls += 1
        return self.calls == self.at or (self.stays and self.calls > self.at)

    def wrap(self, real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            reads = name == "fdopen" and args[1:2] == ("rb",)
            if reads or not self.due():
                return real(*args, **kwargs)
            if name == "fdopen":  # the file opens, and its first write fails
                os.close(args[0])
                return FullDisk()
            raise OSError(self.number, os.strerror(self.number))

        return call


def run_with(invoke: Invoke, faults: Faults, streams: bool, *arguments: object) -> Answer:
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in PLACES:
            patch.setattr(owner, name, faults.wrap(getattr(owner, name), name))
        if streams:
            patch.setattr(sys.stdout, "write", faults.wrap(sys.stdout.write, "write"))
        return invoke(*arguments)


def found_in(texts: Iterable[str]) -> set[str]:
    """The buckets of the reproducers in these texts."""
    return {bucket for text in texts for bucket in re.findall(r'bucket = "([^"\\]+)', text)}


def files() -> list[str]:
    return [path.read_text("utf-8") for path in Path().rglob("*.tdx.toml")]


def test_a_finding_that_cannot_be_written_is_printed_as_its_file(invoke: Invoke) -> None:
    """Two calls are those of the probe."""
    answer = run_with(invoke, Faults(3, errno.ENOSPC, stays=True), False, *COMMANDS["hunt"])
    assert (answer.code, files()) == (1, [])
    assert "cannot be written: No space left on device; its text is printed" in answer.err
    text = answer.out.partition("which could not be written:\n")[2]
    Path("kept.tdx.toml").write_text(text.rpartition("seed 1\n")[0], encoding="utf-8")
    assert invoke("replay", "kept.tdx.toml").out.startswith("FAILED ")


@slow
@long
@pytest.mark.parametrize("stays", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("name", ["hunt", "shrink"])
def test_a_fault_at_any_write_loses_no_finding(invoke: Invoke, name: str, stays: bool) -> None:
    invoke(*COMMANDS[name])
    wanted = found_in(files())
    assert wanted
    survived = 0
    for at in range(1, 200):
        number = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)[at % 4]
        faults = Faults(at, number, stays)
        answer = run_with(invoke, faults, not stays, *COMMANDS[name])
        assert "internal error" not in answer.err
        assert "Traceback" not in answer.err
        if not faults.met:
            break
        refused = answer.code == 2 and "nothing can be written there" in answer.err
        # In JSON the quotes of the text are escaped.
        told = found_in([*files(), answer.out.replace('\\"', '"')])
        assert refused or told == wanted, f"the fault at write {at} lost a finding"
        assert not list(Path().rglob(".*.tmp"))
        for path in Path().rglob("*.tdx.toml"):
            path.unlink()
        survived += 1
    assert 5 < survived < 199


@pytest.mark.parametrize(
    "command",
    [
        ["hunt", "hint", "--cases", 5, "--out"],
        ["verify", "hint", "--scenario", "map-zap", "--out"],
        ["matrix", "hint", "--time", "1s", "--out"],
        ["decode", "x", "--design", "hint", "--out"],
    ],
)
def test_a_folder_that_takes_no_files_is_refused_before_the_work(
    invoke: Invoke, command: list[object]
) -> None:
    Path("x").write_bytes(b"")
    for out in ("/proc/1/x", "x/y"):
        answer = invoke(*command, out)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(f"tdxfuzz: {out}: nothing can be written there: ")


def test_a_probe_leaves_nothing(invoke: Invoke) -> None:
    assert invoke("hunt", "merged", "--cases", 5, "--seed", 1, "--out", "a/b").code in (0, 3)
    assert list(Path().iterdir()) == []
