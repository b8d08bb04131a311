"""``NAME`` or ``FILE.py:NAME`` of a variant of the module on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from tdxfuzz.cli.design_prints import keep_apart
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.host.design_file import DesignFileError, names_file, split
from tdxfuzz.host.variant_file import load_variant
from tdxfuzz.module.variants import DEFAULT, VARIANTS, variant_file_of

F = TypeVar("F", bound=Callable[..., object])

_argument: dict[str, str] = {}
"""What the user wrote for each variant that was loaded."""


def choose_variant(argument: str) -> str:
    """The name that cases give to what an argument names. A file is executed.

    Raises:
        UsageProblem: there is no such variant or file, or the file raised.
    """
    if not names_file(argument):
        if argument not in VARIANTS:
            raise unknown("module variant", argument, VARIANTS)
        return argument
    path, name = split(argument)
    keep_apart()
    try:
        name = load_variant(path, name).name
    except DesignFileError as error:
        raise UsageProblem(str(error), error.details) from None
    _argument[name] = f"{path}:{name}"
    return name


def variant_argument(name: str) -> str:
    """What the user wrote for a variant, with its absolute path; "" for a built-in one."""
    if variant_file_of(name) is None:
        return ""
    path, _ = split(_argument[name])
    return f"{path.absolute()}:{name}"


def replay_option(name: str) -> str:
    """What `tdxfuzz replay` needs for a run on a variant of the module."""
    return f" --module-variant {_argument[name]}" if name in _argument else ""


def module_variant_option(command: F) -> F:
    """``--module-variant NAME|FILE.py:NAME`` as the argument ``variant``."""
    return click.option(
        "--module-variant",
        "variant",
        metavar="NAME|FILE.py:NAME",
        default=DEFAULT.name,
        show_default=True,
        callback=lambda context, parameter, value: choose_variant(value),
        help="Run on a module that is otherwise (`tdxfuzz list variants`, "
        "docs/module-variants.md).",
    )(command)


def load_variant_option(command: F) -> F:
    """``--module-variant FILE.py:NAME`` for reproducers that name a user's variant."""

    def load(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            choose_variant(value)

    return click.option(
        "--module-variant",
        metavar="FILE.py:NAME",
        expose_value=False,
        callback=load,
        help="The variant of the module that the reproducer names, if it is not built in.",
    )(command)
