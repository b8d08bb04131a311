"""Options that several commands share."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from tdxfuzz.check import ALL_CHECKS
from tdxfuzz.cli.design_arg import ChosenKvm, choose_kvm
from tdxfuzz.cli.errors import unknown
from tdxfuzz.cli.variant_arg import load_variant_option
from tdxfuzz.host.c.compiler import FLAGS, user_flags

F = TypeVar("F", bound=Callable[..., object])


def format_option(command: F) -> F:
    """``--format text|json`` as the argument ``as_json``."""

    def to_flag(context: click.Context, parameter: click.Parameter, value: str) -> bool:
        return value == "json"

    return click.option(
        "--format",
        "as_json",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        callback=to_flag,
        help="Print text for people, or one JSON document for scripts.",
    )(command)


def check_option(command: F) -> F:
    """``--check ID`` as the argument ``checks``."""

    def known(
        context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
    ) -> tuple[str, ...]:
        for value in values:
            if value not in ALL_CHECKS:
                raise unknown("check", value, ALL_CHECKS)
        return tuple(dict.fromkeys(values))

    return click.option(
        "--check",
        "checks",
        metavar="ID",
        multiple=True,
        callback=known,
        help="Only this check listens (`tdxfuzz list checks`); repeat for several.",
    )(command)


def workers_option(command: F) -> F:
    """``--workers N`` as the argument ``workers``."""

    def all_cores(context: click.Context, parameter: click.Parameter, value: int | None) -> int:
        return value or len(os.sched_getaffinity(0))

    return click.option(
        "--workers",
        type=click.IntRange(min=1),
        callback=all_cores,
        help="Processes that work at a time; results do not depend on it [default: all cores].",
    )(command)


def source_option(command: F) -> F:
    """``--source`` as the flag ``source``."""
    return click.option(
        "--source",
        is_flag=True,
        help="Show the line of the design's code with what the design does: [file.py:12].",
    )(command)


def kvm_option(command: F) -> F:
    """``--kvm FILE.py:Class`` as the argument ``kvm``, a :class:`ChosenKvm` or None."""

    def chosen(
        context: click.Context, parameter: click.Parameter, value: str | None
    ) -> ChosenKvm | None:
        return None if value is None else choose_kvm(value)

    return click.option(
        "--kvm",
        "kvm",
        metavar="FILE.py:Class",
        callback=chosen,
        help="Run the designs under your own KVM: a class derived from tdxfuzz.host.kvm.Kvm.",
    )(command)


def design_option(command: F) -> F:
    """``--design FILE.py:Class`` or ``--design FILE.c`` for reproducers of a user's design, and
    ``--kvm``, and ``--module-variant FILE.py:NAME`` for those on a user's module.
    """
    command = kvm_option(command)
    return click.option(
        "--design",
        "design_argument",
        metavar="FILE.py:Class|FILE.c",
        help="The design of a reproducer, if it is yours. With one FILE it takes the place of "
        "any other design.",
    )(c_options(load_variant_option(command)))


def c_options(command: F) -> F:
    """``-I``, ``-D`` and ``--shim``: how layers in C are compiled. They go into the environment, so
    that other processes of the command have them too.
    """

    def option(name: str, metavar: str, flag: str, text: str, is_folder: bool) -> None:
        nonlocal command

        def add(
            context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
        ) -> None:
            given = [f"{flag}{Path(value).absolute() if is_folder else value}" for value in values]
            if given:
                os.environ[FLAGS] = shlex.join([*user_flags(), *given])

        kind = click.Path(exists=True, file_okay=False) if is_folder else click.STRING
        command = click.option(
            name,
            metavar=metavar,
            type=kind,
            multiple=True,
            expose_value=False,
            callback=add,
            help=text,
        )(command)

    option("-D", "NAME[=VALUE]", "-D", "Define a macro for layers in C.", is_folder=False)
    option("-I", "DIR", "-I", "Look for headers of layers in C there too.", is_folder=True)
    option(
        "--shim", "DIR", "--shim=", "Headers that replace tdxfuzz's kernel headers.", is_folder=True
    )
    return command
