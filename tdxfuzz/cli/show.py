"""``tdxfuzz show``."""

from __future__ import annotations

from pathlib import Path

import click

from tdxfuzz.check.run import run
from tdxfuzz.cli.design_arg import choose
from tdxfuzz.cli.options import design_option
from tdxfuzz.cli.replay import design_for
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.read import read
from tdxfuzz.repro.steps import as_json, steps

VIEWS = ("columns", "steps", "json")


@click.command("show", epilog="Example: tdxfuzz show bug.tdx.toml --width 72 | mail -s 'A race' …")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--as", "view", type=click.Choice(VIEWS), default="columns", show_default=True)
@click.option("--width", type=click.IntRange(60, 400), default=100, show_default=True)
@design_option
def show_command(path: Path, view: str, width: int, design_argument: str | None) -> int:
    """Show what a reproducer does.

    columns: one column a CPU, a line for each SEAMCALL and each thing that matters;
    fit for a mail at --width 72. steps: every atomic step with the cell it touches.
    json: the records of the trace.
    """
    reproducer = read(path)
    chosen = None if design_argument is None else choose(design_argument)
    design = design_for(reproducer, chosen, path).design
    traced = run(reproducer.case, design, traced=True)
    if view == "columns":
        click.echo(columns(traced, width), nl=False)
    elif view == "steps":
        click.echo(steps(traced), nl=False)
    else:
        click.echo(as_json(traced))
    return 0
