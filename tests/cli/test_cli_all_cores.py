"""Commands that use all cores: what they say does not depend on how many workers there are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import Invoke
from tiers import slow

TIMES = frozenset({"seconds", "steps_per_second", "workers"})

PRINTS = """
import os, signal
from tdxfuzz.host.designs.merged import Merged

class Prints(Merged):
    def get(self, pfn, cache=None):
        print("from get")
        return super().get(pfn, cache)

class Dies(Merged):
    def get(self, pfn, cache=None):
        if os.path.exists("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().get(pfn, cache)
"""


def without_times(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in TIMES}
    return [without_times(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "hunted",
    [
        ("merged", "--cases", 300),
        pytest.param(("hint", "--cases", 900), marks=slow),
        pytest.param(("hostile", "--cases", 600), marks=slow),
        pytest.param(("merged", "--cases", 900, "--faults", "alloc"), marks=slow),
    ],
)
def test_a_hunt_of_two_workers_is_that_of_one(invoke: Invoke, hunted: tuple[object, ...]) -> None:
    one, two = (
        invoke("hunt", *hunted, "--seed", 3, "--format", "json", "--workers", workers)
        for workers in (1, 2)
    )
    assert one.code == two.code
    assert without_times(one.json) == without_times(two.json)
    assert (one.json["workers"], two.json["workers"]) == (1, 2)


@pytest.mark.parametrize("options", [pytest.param((), marks=slow), ("--fail-fast",)])
def test_verdicts_of_two_workers_are_those_of_one_in_the_same_order(
    invoke: Invoke, options: tuple[object, ...]
) -> None:
    names = ("map-zap", "zap-zap")
    scenarios = [part for name in names for part in ("--scenario", name)]
    one, two = (
        invoke(
            "verify",
            "v6",
            "hint",
            "merged",
            *scenarios,
            *options,
            "--format",
            "json",
            "--workers",
            workers,
        )
        for workers in (1, 2)
    )
    assert one.code == two.code == 1
    assert without_times(one.json) == without_times(two.json)


@slow
def test_what_a_design_prints_in_workers_stays_out_of_json(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PRINTS)
    done = command("hunt", "mine.py:Prints", "--cases", "600", "--format", "json", cwd=tmp_path)
    assert done.returncode in (0, 3)
    assert json.loads(done.stdout)["workers"] == 2
    assert "from get" in done.stderr
    assert len(done.stderr) < 11_000


@pytest.mark.parametrize("what", [("hunt", "--cases", "600"), ("verify", "--scenario", "map-zap")])
def test_a_worker_that_is_killed_is_one_error(tmp_path: Path, what: tuple[str, ...]) -> None:
    (tmp_path / "mine.py").write_text(PRINTS)
    (tmp_path / "die").touch()
    name, *options = what
    designs = ("merged", "mine.py:Dies") if name == "verify" else ("mine.py:Dies",)
    done = command(name, *designs, *options, "--format", "json", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "a worker was ended by SIGKILL" in line
    document = json.loads(done.stdout)
    assert document["verdict"] == "error"
    if name == "verify":
        assert [result["verdict"] for result in document["results"]] == ["pass", "unknown"]


@slow
@pytest.mark.parametrize(
    "what", [("hunt",), ("verify", "--full"), ("matrix",), ("matrix", "--compare")]
)
def test_one_ctrl_c_ends_all(tmp_path: Path, what: tuple[str, ...]) -> None:
    name, *options = what
    arguments = [name, "merged", "v6", *options, "--format", "json", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tdxfuzz", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    time.sleep(4)
    # The command hands it on to all its processes, as a terminal does.
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert not err
    assert json.loads(out)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with two workers."""
    return subprocess.run(
        [sys.executable, "-m", "tdxfuzz", *arguments, "--workers", "2"],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )
