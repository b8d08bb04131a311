"""``tdxfuzz list``, ``--help``, and what goes wrong in general."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from commands import Invoke
from golden_files import check_golden
from tdxfuzz.cli.main import CLOSED_PIPE, cli, main

COMMANDS = (
    "init",
    "hunt",
    "verify",
    "matrix",
    "campaign",
    "replay",
    "show",
    "shrink",
    "conform",
    "diff",
    "record",
    "decode",
    "memory",
    "contention",
    "doctor",
    "list",
)


@pytest.mark.parametrize(
    "what", ["designs", "scenarios", "checks", "engines", "leaves", "variants", "statuses"]
)
def test_lists_read_as_they_should(invoke: Invoke, what: str) -> None:
    answer = invoke("list", what)
    assert answer.code == 0
    check_golden(f"list-{what}.txt", answer.out)
    rows = invoke("list", what, "--format", "json").json[what]
    assert isinstance(rows, list)
    # A row is a line under the heads, or an entry that begins a line.
    begun = [line for line in answer.out.splitlines() if not line.startswith("    ")]
    assert len(begun) - len(rows) == (1 if begun[0].split()[0] in rows[0] else 0)


def test_one_leaf_can_be_looked_up(invoke: Invoke) -> None:
    answer = invoke("list", "leaves", "TDH.PHYMEM.PAMT.ADD")
    assert answer.code == 0
    assert "58" in answer.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("leafs",), "unknown list 'leafs'; did you mean leaves or locks?"),
        (
            ("leaves", "TDH.PHYMEM.PAMT.AD"),
            "unknown leaf 'TDH.PHYMEM.PAMT.AD'; did you mean TDH.PHYMEM.PAMT.ADD",
        ),
        (("checks", "page-leek"), "unknown check 'page-leek'; did you mean page-leak"),
        (("designs", "v7"), "unknown design 'v7'; did you mean v6"),
    ],
)
def test_an_unknown_name_gets_the_nearest(
    invoke: Invoke, arguments: tuple[str, ...], message: str
) -> None:
    answer = invoke("list", *arguments)
    assert answer.code == 2
    assert answer.err.startswith(f"tdxfuzz: {message}")
    assert answer.err.count("\n") == 1


def test_a_list_that_is_piped_can_be_read(invoke: Invoke) -> None:
    for what in ("designs", "scenarios", "checks", "leaves", "engines", "variants"):
        assert max(map(len, invoke("list", what).out.splitlines())) <= 100, what


def test_the_shell_completes_commands() -> None:
    asked = {"COMP_WORDS": "tdxfuzz cont", "COMP_CWORD": "1", "_TDXFUZZ_COMPLETE": "bash_complete"}
    script = "from tdxfuzz.cli.main import cli; cli(prog_name='tdxfuzz')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["plain,contention"]


def test_help_teaches(invoke: Invoke) -> None:
    context = click.Context(cli)
    assert set(cli.list_commands(context)) == set(COMMANDS)
    commands = {name: cli.get_command(context, name) for name in COMMANDS}
    texts = [f"{name}\n\n{command and command.help}\n" for name, command in commands.items()]
    check_golden("help.txt", "\n\n".join(texts))
    for name in COMMANDS:
        assert "Usage: tdxfuzz" in invoke(name, "--help").out


def test_every_command_has_an_example(invoke: Invoke) -> None:
    for command in COMMANDS:
        assert "Example: tdxfuzz" in invoke(command, "--help").out


def test_an_unknown_command_is_wrong_usage(invoke: Invoke) -> None:
    answer = invoke("hant")
    assert answer.code == 2
    assert "No such command 'hant'; did you mean hunt?" in answer.err
    far = invoke("xyzzy")
    assert (far.code, "did you mean" in far.err) == (2, False)


def test_the_doctor_says_what_is_missing_and_how_to_get_it(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("doctor").code == 0
    monkeypatch.setattr("tdxfuzz.cli.doctor.find_spec", lambda name: None)
    monkeypatch.setattr("tdxfuzz.cli.doctor.shutil.which", lambda name: None)
    answer = invoke("doctor")
    assert answer.code == 0
    for text in ("pip install 'tdxfuzz[report]'", "layers in C need gcc or clang"):
        assert text in answer.out
    told = invoke("doctor", "--format", "json").json
    assert told["extras"] == {"atheris": False, "cluster": False, "report": False}
    assert told["compilers"] == {}


def test_a_bug_of_ours_says_so(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("tdxfuzz.cli.hunt_workers.hunt", broken)
    monkeypatch.setattr("tdxfuzz.cli.hunt_workers.hunt_block", broken)
    for workers in (1, 2):
        answer = invoke("hunt", "merged", "--workers", workers)
        assert answer.code == 2
        assert "internal error, please report it: ZeroDivisionError: oh" in answer.err
        assert "in broken" in answer.err


@pytest.mark.parametrize(
    "command",
    [
        ["list", "leaves"],
        ["hunt", "merged", "--cases", "5"],
        ["hunt", "mine.py", "--cases", "5"],
    ],
)
def test_a_reader_that_has_gone_is_not_a_finding(command: list[str], tmp_path: Path) -> None:
    mine = "from tdxfuzz.host.designs.merged import Merged\nclass Mine(Merged): pass\n"
    (tmp_path / "mine.py").write_text(mine, encoding="utf-8")
    reading, writing = os.pipe()
    os.close(reading)
    start = "from tdxfuzz.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, *command],
        cwd=tmp_path,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == CLOSED_PIPE
    assert "Traceback" not in done.stderr


def test_a_shell_is_given_completions(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tdxfuzz"])
    monkeypatch.setenv("_TDXFUZZ_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "tdxfuzz cam")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capfd.readouterr().out == "plain,campaign\n"
