"""SIGTERM and SIGHUP, to the command or to its whole group, are what Ctrl-C is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from c_layers import needs_compiler
from target_libraries import build
from tdxfuzz.cli import ctrl_c
from tdxfuzz.cli.ctrl_c import interrupt, is_new_wish, noted, take_for_ctrl_c
from tdxfuzz.sim import INTERRUPTIONS
from tiers import slow

Send = Callable[[subprocess.Popen[str], signal.Signals], None]


def to_the_command(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)


def to_the_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    os.killpg(process.pid, number)


def as_timeout_does(process: subprocess.Popen[str], number: signal.Signals) -> None:
    to_the_command(process, number)
    to_the_group(process, number)


COMMANDS = {
    "hunt": ("hunt", "merged", "v6", "--workers", "2"),
    "hunt alone": ("hunt", "merged", "--workers", "1"),
    "verify": ("verify", "merged", "v6", "--full", "--workers", "2"),
    "verify alone": ("verify", "merged", "--full", "--workers", "1"),
    "matrix": ("matrix", "merged", "v6", "--workers", "2"),
    "compare": ("matrix", "merged", "v6", "--compare", "--workers", "2"),
    "diff": ("diff", "--library", "LIBRARY", "--time", "10m"),
    "record": ("record", "--library", "LIBRARY", "--cases", "1000000", "--out", "traces.jsonl"),
    "campaign": ("campaign", "run", "c", "merged", "--workers", "2", "--batch", "50"),
}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tdxfuzz", *arguments, "--format", "json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until_at_work(process: subprocess.Popen[str]) -> None:
    """Until a command, with its workers, has used so much of the CPU that it has begun its work: on
    a busy machine that takes its time.
    """
    end = time.monotonic() + 60
    while used(process.pid) < STARTING and time.monotonic() < end and process.poll() is None:
        time.sleep(0.2)


STARTING = 4.0
"""Seconds of the CPU, most of which go into imports."""


def used(session: int) -> float:
    """Seconds of the CPU that the processes of a session have used."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@slow
@pytest.mark.parametrize(
    ("name", "number", "send"),
    [
        ("hunt", signal.SIGTERM, to_the_group),
        ("hunt", signal.SIGHUP, to_the_command),
        ("hunt", signal.SIGTERM, as_timeout_does),
        ("hunt alone", signal.SIGTERM, as_timeout_does),
        ("verify", signal.SIGHUP, to_the_group),
        ("verify", signal.SIGTERM, to_the_command),
        ("verify alone", signal.SIGHUP, as_timeout_does),
        ("matrix", signal.SIGTERM, as_timeout_does),
        ("compare", signal.SIGTERM, as_timeout_does),
        ("compare", signal.SIGHUP, to_the_command),
        ("compare", signal.SIGINT, to_the_group),
        ("campaign", signal.SIGTERM, to_the_group),
        ("campaign", signal.SIGHUP, to_the_command),
        ("campaign", signal.SIGHUP, as_timeout_does),
    ],
)
def test_a_signal_to_end_is_ctrl_c(
    name: str, number: signal.Signals, send: Send, tmp_path: Path
) -> None:
    process = start(tmp_path, *COMMANDS[name])
    until_at_work(process)
    send(process, number)
    out, err = process.communicate(timeout=60)
    # A campaign tells the verdict of what there is, which depends on how far it came.
    assert process.returncode in ((0, 3) if name == "campaign" else (3,))
    assert not err
    assert json.loads(out)
    assert is_gone(process.pid)


@slow
@needs_compiler
@pytest.mark.parametrize("name", ["diff", "record"])
@pytest.mark.parametrize(
    ("number", "send"),
    [
        (signal.SIGINT, to_the_group),
        (signal.SIGTERM, to_the_command),
        (signal.SIGTERM, as_timeout_does),
        (signal.SIGHUP, to_the_group),
    ],
)
def test_a_signal_ends_what_runs_a_library_and_is_no_crash_of_it(
    name: str, number: signal.Signals, send: Send, tmp_path: Path
) -> None:
    library = str(build("pairs"))
    process = start(tmp_path, *(library if it == "LIBRARY" else it for it in COMMANDS[name]))
    until_at_work(process)
    send(process, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (3, "")
    told = json.loads(out)
    if name == "record":
        lines = (tmp_path / "traces.jsonl").read_text(encoding="utf-8").splitlines()
        assert told["interrupted"]
        assert told["traces"] == len([json.loads(line) for line in lines]) > 0
        assert told["left_out"] == []
    else:
        assert told["verdict"] == "unknown"
        assert told["divergences"] == []
    assert is_gone(process.pid)


def is_gone(group: int) -> bool:
    """Whether all processes of a group have ended, or end soon."""
    for _ in range(50):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctrl_c, "_heard_at", float("-inf"))


@pytest.mark.usefixtures("fresh")
def test_a_repetition_at_once_is_no_second_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    assert [is_new_wish(), is_new_wish()] == [True, False]
    now += ctrl_c.SAME
    assert is_new_wish()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("number", INTERRUPTIONS)
def test_the_first_is_noted_and_the_second_interrupts(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctrl_c, "SAME", 0.0)
    with noted() as came:
        assert not came()
        signal.raise_signal(number)
        assert came()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("fresh")
def test_what_nohup_ignores_stays_ignored() -> None:
    before = {one: signal.getsignal(one) for one in INTERRUPTIONS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        take_for_ctrl_c()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is interrupt
        with noted():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is interrupt
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


INTERRUPTED_AT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, *rest):
        if name == sys.argv[-1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
module = sys.argv[-1]
sys.argv = ["tdxfuzz", "hunt", "merged", module]
from tdxfuzz.cli import entry
entry()
"""


@pytest.mark.parametrize("module", ["tdxfuzz.cli.main", "click", "tdxfuzz.sim", "tdxfuzz.cli.hunt"])
def test_ctrl_c_while_the_program_imports_a_module_is_one_line(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT, module],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (3, "\ntdxfuzz: interrupted\n")
