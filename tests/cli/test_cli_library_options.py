"""``hunt hostile --library`` and ``verify hostile --library``: no option is silently ignored."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from c_layers import needs_compiler
from commands import Invoke
from target_libraries import ERROR, build
from tdxfuzz.cli.library_hostile import COUNTING
from tdxfuzz.host.c.compiler import FLAGS

VALUES = {
    "--scenario": "map-zap",
    "--huge": "few",
    "--faults": "busy@1",
    "--check": "refcount",
    "--module-variant": "one-page",
    "--kvm": "mine.py:Mine",
    "--engine": "windows",
    "-I": ".",
    "--shim": ".",
}
"""Of options whose type does not say it."""

KVM = "from tdxfuzz.host.kvm import Kvm\n\n\nclass Mine(Kvm):\n    pass\n"


def options(command: str) -> Iterator[click.Option]:
    module = import_module(f"tdxfuzz.cli.{command}")
    for option in getattr(module, f"{command}_command").params:
        if isinstance(option, click.Option):
            yield option


WITHOUT_EFFECT = [
    (command, option)
    for command in COUNTING
    for option in options(command)
    if option.name not in COUNTING[command]
]


@pytest.mark.parametrize("command", COUNTING)
def test_the_options_that_count_are_options_of_the_command(command: str) -> None:
    assert COUNTING[command] <= {option.name for option in options(command)}


@pytest.mark.parametrize(
    ("command", "option"),
    WITHOUT_EFFECT,
    ids=[f"{command} {option.opts[0]}" for command, option in WITHOUT_EFFECT],
)
def test_an_option_without_effect_is_refused(
    command: str, option: click.Option, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each option counts, or is refused: a new one cannot be forgotten."""
    monkeypatch.setenv(FLAGS, "")  # -D, -I and --shim write it
    Path("mine.py").write_text(KVM)
    name = option.opts[0]
    value = () if option.is_flag else (VALUES.get(name, "2"),)
    answer = invoke(command, "hostile", "--library", "gone.so", name, *value)
    assert answer.code == 2
    assert answer.err == f"tdxfuzz: {name} has no effect with --library; leave it out\n"


@needs_compiler
def test_an_expected_finding_is_exit_code_0(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = ("--cases", "15", "--seed", "1", "--expect-finding")
    arguments = ("hunt", "hostile", "--library", build("reference"), *bound)
    assert invoke(*arguments).code == 1
    monkeypatch.setenv(ERROR, "no-release")
    assert invoke(*arguments).code == 0
