"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from tdxfuzz.cli.errors import unknown
from tdxfuzz.module.variants import DEFAULT, VARIANTS

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


def module_variant_option(command: F) -> F:
    """``--module-variant NAME`` as the argument ``variant``."""

    def known(context: click.Context, parameter: click.Parameter, value: str) -> str:
        if value not in VARIANTS:
            raise unknown("module variant", value, VARIANTS)
        return value

    return click.option(
        "--module-variant",
        "variant",
        default=DEFAULT.name,
        show_default=True,
        callback=known,
        help="Run on a module that locks differently (`tdxfuzz list variants`).",
    )(command)


def source_option(command: F) -> F:
    """``--source`` as the flag ``source``."""
    return click.option(
        "--source",
        is_flag=True,
        help="Show the line of the design's code with what the design does: [file.py:12].",
    )(command)


def design_option(command: F) -> F:
    """``--design FILE.py:Class`` for reproducers of a user's design."""
    return click.option(
        "--design",
        "design_argument",
        metavar="FILE.py:Class",
        help="The design of the reproducer, if it is not a built-in design.",
    )(command)
