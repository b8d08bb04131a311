"""Designs that never come back, from the command line: one error, exit 2, whatever they catch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import Invoke
from tdxfuzz.repro.read import read
from tiers import slow

BASE = "from tdxfuzz.host.designs.merged import Merged\n"

SPINS = BASE + "class Mine(Merged):\n def get(self, pfn, cache=None):\n  while True: pass\n"
CATCHES = BASE + (
    "class Mine(Merged):\n"
    " def get(self, pfn, cache=None):\n"
    "  while True:\n"
    "   try:\n"
    "    while True: pass\n"
    "   except BaseException: pass\n"
)
IN_C = BASE + (
    "import re\n"
    "class Mine(Merged):\n"
    " def get(self, pfn, cache=None):\n"
    '  re.match(r"(a+)+$", "a" * 64 + "b")\n'
)
EXITS = BASE + "class Mine(Merged):\n def get(self, pfn, cache=None):\n  raise SystemExit(0)\n"
ENDS_PROCESS = BASE + (
    "import os\nclass Mine(Merged):\n def get(self, pfn, cache=None):\n  os._exit(7)\n"
)
ENDS_CHILD = BASE + (
    "import os\n"
    "class Mine(Merged):\n"
    " def setup(self):\n"
    "  super().setup()\n"
    "  child = os.fork()\n"
    "  if not child: os._exit(7)\n"
    "  assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
)
KILLS = BASE + (
    "import os\nclass Mine(Merged):\n def get(self, pfn, cache=None):\n  os.kill(os.getpid(), 9)\n"
)
INTERRUPTS = BASE + (
    "class Mine(Merged):\n def get(self, pfn, cache=None):\n  raise KeyboardInterrupt\n"
)
PRINTS = BASE + (
    "import sys\n"
    'print("loaded")\n'
    "class Mine(Merged):\n"
    " def get(self, pfn, cache=None):\n"
    '  print("x" * 5000)\n'
    '  print("y" * 5000, file=sys.stderr)\n'
    "  return super().get(pfn, cache)\n"
)
RANDOM = BASE + (
    "import random\n"
    "class Mine(Merged):\n"
    " def get(self, pfn, cache=None):\n"
    "  if random.random() < 0.5: self.refcount(pfn).read()\n"
    "  return super().get(pfn, cache)\n"
)
GLOBAL = BASE + (
    "SEEN = []\n"
    "class Mine(Merged):\n"
    " def get(self, pfn, cache=None):\n"
    "  SEEN.append(pfn)\n"
    "  return super().get(pfn, cache)\n"
)
WAITS = BASE + (
    "class Mine(Merged):\n"
    " def setup(self):\n"
    "  super().setup()\n"
    '  self.flag = self.atomic("flag")\n'
    '  self.slots = self.rwlock("slots")\n'
    " def get(self, pfn, cache=None):\n"
    "  with self.slots.read():\n"
    "   while self.flag.read(): pass\n"
    "  return super().get(pfn, cache)\n"
    " def put(self, pfn):\n"
    "  self.flag.set(1)\n"
    "  with self.slots.write(): self.flag.set(0)\n"
    "  super().put(pfn)\n"
)


def tdxfuzz(folder: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a design in its own file; ``DESIGN`` stands for it."""
    file = folder / "mine.py"
    file.write_text(source, encoding="utf-8")
    words = [word.replace("DESIGN", str(file)) for word in arguments]
    return subprocess.run(
        [sys.executable, "-m", "tdxfuzz", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_os_exit_is_told_with_the_design_the_line_and_the_run(workers: str, tmp_path: Path) -> None:
    run = ("hunt", "DESIGN", "--cases", "500", "--seed", "1", "--workers", workers)
    done = tdxfuzz(tmp_path, ENDS_PROCESS, *run)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("tdxfuzz: "))
    assert "design Mine raised ProcessExitError: os._exit(7) would end the whole process" in line
    assert "mine.py:5" in line
    (file,) = tmp_path.rglob("*.tdx.toml")
    assert read(file).expect.bucket == "crash/ProcessExitError/get/-"
    again = tdxfuzz(tmp_path, ENDS_PROCESS, "replay", str(file), "--design", "DESIGN:Mine")
    assert again.returncode == 2


@slow
def test_a_process_that_a_design_has_forked_may_end(tmp_path: Path) -> None:
    done = tdxfuzz(tmp_path, ENDS_CHILD, "hunt", "DESIGN", "--cases", "20", "--workers", "1")
    assert "ProcessExitError" not in done.stderr
    assert done.returncode in (0, 3)


@slow
def test_a_sigkill_is_not_told_as_the_designs(tmp_path: Path) -> None:
    done = tdxfuzz(tmp_path, KILLS, "hunt", "DESIGN", "--cases", "20", "--workers", "1")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == (
        "tdxfuzz: the command was ended by SIGKILL: by a design, by you, or for want of memory"
    )


COMMANDS = {
    "hunt": ("hunt", "DESIGN", "--time", "3s", "--seed", "1"),
    "verify": ("verify", "DESIGN", "--time", "3s", "--scenario", "map-zap"),
}


@slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("source", "line"), [(SPINS, 4), (CATCHES, 6), (IN_C, 5)], ids=["spins", "catches", "in C"]
)
def test_a_design_that_hangs_is_named_with_its_line(
    command: str, source: str, line: int, tmp_path: Path
) -> None:
    done = tdxfuzz(tmp_path, source, *COMMANDS[command])
    assert done.returncode == 2
    assert "Mine hangs" in done.stderr or "a design hangs" in done.stderr
    assert f"mine.py:{line}" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("source", "error"),
    [
        (EXITS, "design Mine raised SystemExit: 0"),
        (INTERRUPTS, "design Mine raised KeyboardInterrupt"),
        (GLOBAL, "design Mine keeps state outside of cells: module global SEEN of mine.py"),
        (RANDOM, "the design is not deterministic"),
    ],
    ids=["exits", "interrupts", "global", "random"],
)
def test_a_design_at_fault_ends_a_command_with_2(
    command: str, source: str, error: str, invoke: Invoke
) -> None:
    Path("mine.py").write_text(source, encoding="utf-8")
    words = ["mine.py" if word == "DESIGN" else word for word in COMMANDS[command]]
    answer = invoke(*words)
    assert answer.code == 2
    assert error.replace("the design is", "is") in answer.err.replace("the design is", "is")


def test_an_error_of_a_design_is_kept_as_a_file_that_replays(tmp_path: Path) -> None:
    done = tdxfuzz(tmp_path, EXITS, *COMMANDS["hunt"], "--format", "json")
    document = json.loads(done.stdout)
    assert document["verdict"] == "error"
    assert document["kind"] == "crash"
    assert "e3b0c442" not in document["reproducer"], "the hash of nothing"
    again = tdxfuzz(tmp_path, EXITS, "replay", document["reproducer"], "--design", "DESIGN")
    assert again.returncode == 2
    assert "raised SystemExit" in again.stderr
    fixed = tdxfuzz(
        tmp_path, BASE + "class Mine(Merged): pass\n", "replay", "reproducers", "--design", "DESIGN"
    )
    assert fixed.returncode == 0


RETURNS_NONE = BASE + (
    "class Mine(Merged):\n def get(self, pfn, cache=None):\n  super().get(pfn, cache)\n"
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("source", "bucket"),
    [
        (RANDOM, "crash/Nondeterminism/-/-"),
        (RETURNS_NONE, "crash/ResultError/get/-"),
        (GLOBAL, "crash/OutsideState/-/-"),
    ],
    ids=["random", "returns none", "global"],
)
def test_each_error_of_a_design_is_kept_as_a_file(
    command: str, source: str, bucket: str, invoke: Invoke
) -> None:
    Path("mine.py").write_text(source, encoding="utf-8")
    words = ["mine.py" if word == "DESIGN" else word for word in COMMANDS[command]]
    answer = invoke(*words, "--out", "kept", "--format", "json")
    assert answer.code == 2
    (kept,) = Path("kept").iterdir()
    assert read(kept).expect.bucket == bucket
    assert answer.json["reproducer"] == str(kept)


COUNTS = BASE + (
    "class Mine(Merged):\n"
    " def setup(self):\n"
    "  super().setup()\n"
    '  self.closed = self.atomic("closed")\n'
    " def put(self, pfn, hint=False):\n"
    "  self.closed.set(1)\n"
    "  super().put(pfn, hint)\n"
    " def get(self, pfn, cache=None):\n"
    "  rounds = 0\n"
    "  while self.closed.read():\n"
    "   rounds += 1\n"
    "   self.cpu_relax()\n"
    "  return super().get(pfn, cache)\n"
)


@slow
def test_a_run_without_end_that_takes_all_the_time_is_kept(invoke: Invoke) -> None:
    Path("mine.py").write_text(COUNTS, encoding="utf-8")
    words = ("verify", "mine.py", "--scenario", "map-zap", "--time", "1s", "--format", "json")
    answer = invoke(*words)
    assert answer.code == 3
    results = answer.json["results"]
    assert isinstance(results, list)
    (row,) = results
    assert row["why"] == "the time was over"
    assert row["seconds"] >= 1
    (kept,) = row["cut_off"]
    assert invoke("replay", kept, "--design", "mine.py:Mine").code == 3


def test_what_a_design_prints_is_no_part_of_the_output_and_bounded(tmp_path: Path) -> None:
    done = tdxfuzz(tmp_path, PRINTS, "hunt", "DESIGN", "--cases", "40", "--format", "json")
    assert json.loads(done.stdout)["stats"]["cases"] == 40
    assert "loaded" in done.stderr
    assert len(done.stderr) < 25_000


@slow
@pytest.mark.parametrize("command", COMMANDS)
def test_runs_that_do_not_end_are_a_file_and_no_clean_exit(command: str, tmp_path: Path) -> None:
    arguments = [*COMMANDS[command], "--format", "json"]
    arguments[arguments.index("3s")] = "8s"
    done = tdxfuzz(tmp_path, WAITS, *arguments)
    assert done.returncode == 3
    document = json.loads(done.stdout)
    files = document["cut_off"] if command == "hunt" else document["results"][0]["cut_off"]
    assert files
    again = tdxfuzz(tmp_path, WAITS, "replay", files[0], "--design", "DESIGN")
    assert again.returncode == 3
    assert again.stdout.startswith("CUT-OFF")


def test_a_design_may_import_the_modules_beside_it(tmp_path: Path) -> None:
    base = "from tdxfuzz.host.designs.merged import Merged\nclass Base(Merged): pass\n"
    for folder, extra in (("one", "raise_here = 1"), ("two", "")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "beside.py").write_text(base + extra + "\n")
    mine = "from beside import Base\nimport beside\nclass Mine(Base): pass\n"
    assert tdxfuzz(tmp_path / "one", mine, "hunt", "DESIGN", "--cases", "5").returncode in (0, 3)
    (tmp_path / "one" / "mine.py").write_text(mine + "assert beside.raise_here\n")
    other = mine.replace("Mine", "Other") + "assert not hasattr(beside, 'raise_here')\n"
    (tmp_path / "two" / "mine.py").write_text(other)
    both = subprocess.run(
        [sys.executable, "-m", "tdxfuzz", "hunt", "one/mine.py", "two/mine.py", "--cases", "5"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert both.returncode in (0, 3), both.stderr


@pytest.mark.parametrize("command", ["hunt", "verify", "matrix", "campaign run here"])
def test_two_designs_of_one_name_are_refused(invoke: Invoke, tmp_path: Path, command: str) -> None:
    """Cases, files and tables tell designs apart by their names."""
    files = []
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "layer.py"
        file.write_text(
            "from tdxfuzz.host.designs.merged import Merged\nclass Mine(Merged): pass\n",
            encoding="utf-8",
        )
        files.append(str(file))
    answer = invoke(*command.split(), *files)
    assert answer.code == 2
    assert f"{files[0]}:Mine and {files[1]}:Mine are both called Mine" in answer.err
    twice = invoke(*command.split(), files[0], files[0])
    assert twice.code == 2
    assert "is named twice" in twice.err
