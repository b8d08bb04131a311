"""Each option of each command with each kind of subject: a clear answer, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from itertools import cycle
from pathlib import Path

import click
import pytest

import c_layers
from commands import Invoke
from golden_files import HINT_RACE
from tdxfuzz.cli.duration import Duration
from tdxfuzz.cli.main import COMMANDS
from tdxfuzz.host.c.compiler import FLAGS
from tiers import long, slow

SOURCE = Path(__file__).parents[2] / "tdxfuzz/host/designs/hint.py"

SUBJECTS = (
    *("hint", "mine.py:Hint", "layer.c", "hostile"),
    *("map-zap", "x.tdx.toml", "gone.py", "\u00e9\x1b"),
)
"""A design that is built in, a user's in Python and in C, raw calls; names of other things, and of
nothing.
"""

SHORT = {"--time": "1s", "--cases": "5", "--scenario": "map-zap", "--workers": "1"}
"""Given if the command takes them, so that it ends soon."""

LEFT_OUT = ("campaign", "matrix", "verify", "shrink")
"""Commands with a call of seconds each, or that start processes; their own tests have options."""

VALUES = {
    **SHORT,
    "--kvm": "mine.py",
    "--design": "mine.py:Hint",
    "--engine": "windows",
    "--huge": "few",
    "--module-variant": "early-release",
    "--cflags": "-DX",
    "--format": "json",
}
"""Of options that take a text; others get a value from their type, or a word that none knows."""


def commands() -> Iterator[tuple[str, click.Command]]:
    for name, module in COMMANDS.items():
        if name not in LEFT_OUT:
            yield name, getattr(import_module(f"tdxfuzz.cli.{module}"), f"{name}_command")


def values_of(option: click.Option) -> Iterator[list[str]]:
    """What to give for an option: each kind of value that its type has."""
    name = option.opts[0]
    if option.is_flag:
        yield [name]
        return
    values = [VALUES[name]] if name in VALUES else []
    if isinstance(option.type, click.Choice):
        values += [str(choice) for choice in option.type.choices]
    elif isinstance(option.type, click.types.IntParamType):
        values += ["0", "1", "3", "-1", "99999999999999999999"]
    elif isinstance(option.type, Duration):
        values += ["0s", "1", "9" * 400 + "h", "nan"]
    elif isinstance(option.type, click.Path):
        values += ["gone", "folder", "/dev/null"]
    for value in [*values, "", "\x1b[31m"]:
        yield [name, value]


def calls() -> Iterator[object]:
    for name, command in commands():
        for option in command.params:
            if isinstance(option, click.Option):
                called = f"{name} {option.opts[0]}"
                marks = [] if called == "list --format" else [slow, long]
                yield pytest.param(name, command, option, id=called, marks=marks)


@pytest.mark.parametrize(("name", "command", "option"), list(calls()))
def test_each_option_gives_each_subject_a_clear_answer(
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    command: click.Command,
    option: click.Option,
) -> None:
    # Options for layers in C go into the environment of the process.
    monkeypatch.setenv(FLAGS, "")
    Path("mine.py").write_text(SOURCE.read_text("utf-8"), encoding="utf-8")
    c_layers.write(Path(), c_layers.text_of())
    Path("x.tdx.toml").write_text(HINT_RACE.read_text("utf-8"), encoding="utf-8")
    Path("folder").mkdir()
    known = {each.opts[0] for each in command.params if isinstance(each, click.Option)}
    takes_subject = any(isinstance(each, click.Argument) for each in command.params)
    # The subjects in turn: all of them with each value take half an hour.
    subjects = cycle(SUBJECTS if takes_subject else ("",))
    values = list(values_of(option))
    for given, subject in zip(values * -(-len(SUBJECTS) // len(values)), subjects, strict=False):
        short = [
            word for key in sorted(known & SHORT.keys() - {given[0]}) for word in (key, SHORT[key])
        ]
        answer = invoke(name, *([subject] if subject else []), *short, *given)
        what = f"{name} {subject!r} {given}: {answer.err}"
        assert answer.code in (0, 1, 2, 3), what
        assert "internal error" not in answer.err, what
        assert "Traceback" not in answer.err or "raised" in answer.err, what
        assert answer.code != 2 or answer.err.startswith("tdxfuzz: "), what
        assert answer.out or answer.err, what
        assert "\x1b" not in answer.out + answer.err, what
