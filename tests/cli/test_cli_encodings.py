"""Terminals of all kinds, and none: the same verdict, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from golden_files import HINT_RACE
from tiers import SLOW_AND_LONG, only_quick, slow

ENVIRONMENTS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "no colour": {"NO_COLOR": "1"},
    "narrow": {"COLUMNS": "40"},
    "posix": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "colour": {"FORCE_COLOR": "1", "TERM": "xterm"},
}

REDIRECTS = {
    "stdout closed": ">&-",
    "stderr closed": "2>&-",
    "both closed": ">&- 2>&-",
    "all closed": "<&- >&- 2>&-",
    "stdout full": ">/dev/full",
    "stderr full": "2>/dev/full",
}

COMMANDS = {
    "hunt hint --seed 1 --cases 300": 1,
    f"replay {HINT_RACE}": 1,
    f"show {HINT_RACE}": 0,
    "list designs": 0,
    "hunt nothing": 2,
}

OTHERS = {
    "doctor": 0,
    "list locks": 0,
    "init layer.py": 0,
    f"show {HINT_RACE} --as mail": 0,
    f"show {HINT_RACE} --as c": 0,
    f"show {HINT_RACE} --as page": 0,
    "campaign status campaign": 1,
    "contention v6 --cpus 2 --tds 1 --td-memory 4MiB": 0,
}
"""Commands whose texts are other ones; ``diff`` and ``record`` need a library."""


def run(folder: Path, command: str, more: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **more}
    return subprocess.run(
        f"{sys.executable} -m tdxfuzz {command}",
        shell=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )


def is_clean(text: bytes) -> bool:
    return b"Traceback" not in text and b"internal error" not in text


@pytest.mark.parametrize("name", only_quick(["ascii"], ENVIRONMENTS))
def test_every_environment_gives_the_same_verdict(tmp_path: Path, name: str) -> None:
    for command, code in COMMANDS.items():
        done = run(tmp_path, command, ENVIRONMENTS[name])
        assert done.returncode == code, (command, done.stderr)
        assert is_clean(done.stdout + done.stderr)
        if "PYTHONIOENCODING" in ENVIRONMENTS[name]:
            done.stdout.decode(ENVIRONMENTS[name]["PYTHONIOENCODING"])


@slow
@pytest.mark.parametrize("name", only_quick(["both closed"], REDIRECTS))
def test_streams_that_are_closed_or_full_keep_the_verdict(tmp_path: Path, name: str) -> None:
    """What passes, but could not be said, is 2: a script must not take it for a whole answer."""
    for command, code in COMMANDS.items():
        done = run(tmp_path, f"{command} {REDIRECTS[name]}", {})
        wanted = 2 if (name, code) == ("stdout full", 0) else code
        assert done.returncode == wanted, (command, done.stderr)
        assert is_clean(done.stdout + done.stderr)
    assert len(list((tmp_path / "reproducers").iterdir())) == 1


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """A folder in which ``campaign`` is one that has found something."""
    done = run(tmp_path, "campaign run campaign hint --cases 200 --workers 1 --seed 1", {})
    assert done.returncode == 1, done.stderr
    return tmp_path


@slow
@pytest.mark.parametrize("name", only_quick(["ascii", "narrow"], ENVIRONMENTS, SLOW_AND_LONG))
def test_every_environment_gives_the_other_commands_verdicts(campaign: Path, name: str) -> None:
    for command, code in OTHERS.items():
        done = run(campaign, command, ENVIRONMENTS[name])
        assert done.returncode == code, (command, done.stderr)
        assert is_clean(done.stdout + done.stderr)
        if "PYTHONIOENCODING" in ENVIRONMENTS[name]:
            done.stdout.decode(ENVIRONMENTS[name]["PYTHONIOENCODING"])


@slow
@pytest.mark.parametrize("name", only_quick(["stdout full"], REDIRECTS, SLOW_AND_LONG))
def test_streams_that_are_closed_or_full_keep_the_other_verdicts(campaign: Path, name: str) -> None:
    for command, code in OTHERS.items():
        done = run(campaign, f"{command} {REDIRECTS[name]}", {})
        wanted = 2 if (name, code) == ("stdout full", 0) else code
        assert done.returncode == wanted, (command, done.stderr)
        assert is_clean(done.stdout + done.stderr)
