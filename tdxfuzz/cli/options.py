"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

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
        help="Text for people, or one JSON document for scripts.",
    )(command)


def design_option(command: F) -> F:
    """``--design FILE.py:Class`` for reproducers of a user's design."""
    return click.option(
        "--design",
        "design_argument",
        metavar="FILE.py:Class",
        help="The design, where the reproducer is of one that is not built in.",
    )(command)
