"""``tdxfuzz show``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from tdxfuzz.case.visible import visible
from tdxfuzz.cli.design_arg import ChosenKvm, choose
from tdxfuzz.cli.design_prints import our_stdout
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.options import design_option, source_option
from tdxfuzz.cli.replay import design_for
from tdxfuzz.host.design_file import names_file, split
from tdxfuzz.repro.as_c import as_c
from tdxfuzz.repro.as_pytest import as_pytest
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.mail import mail
from tdxfuzz.repro.mermaid import mermaid
from tdxfuzz.repro.page import page
from tdxfuzz.repro.page.frames import run_to_tell
from tdxfuzz.repro.read import read
from tdxfuzz.repro.reproducer import Reproducer
from tdxfuzz.repro.steps import as_json, steps
from tdxfuzz.repro.svg import svg
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run

RENDER: dict[str, Callable[[Run], str]] = {
    "steps": steps,
    "c": as_c,
    "mermaid": mermaid,
    "svg": svg,
    "json": lambda run: as_json(run) + "\n",
}
COLUMNS = "columns"
PAGE, MAIL = "page", "mail"
VIEWS = (COLUMNS, PAGE, MAIL, *RENDER, "pytest")


@click.command("show", epilog="Example: tdxfuzz show bug.tdx.toml --width 72 | mail -s 'A race' …")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--as",
    "view",
    type=click.Choice(VIEWS),
    default=COLUMNS,
    show_default=True,
    help="The view, see above.",
)
@click.option(
    "--width",
    type=click.IntRange(60, 400),
    default=100,
    show_default=True,
    help="Characters in a line of the columns view.",
)
@source_option
@design_option
def show_command(
    path: Path,
    view: str,
    width: int,
    source: bool,
    design_argument: str | None,
    kvm: ChosenKvm | None,
) -> int:
    """Show what happens in a reproducer.

    Choose a view with --as. columns: a table with one column for each CPU and one line for
    each SEAMCALL. page: an HTML file to step through, with the state after each line and the
    nearest orders in which nothing shows. mail: 72 columns, with a paragraph in front. c: a C
    program whose threads make the same SEAMCALLs in the same order. steps: every atomic step
    and the cell that it touches. svg: a picture with a lane for each CPU. mermaid: a diagram
    for Markdown. pytest: a test that passes when the bug no longer shows; the file of your own
    design is looked for beside the test and in the folders above. json: the records of the trace.
    """
    if source and view != COLUMNS:
        raise UsageProblem(f"--source goes with the columns view, not with --as {view}")
    reproducer = read(path)
    if view == "pytest":
        _print(_as_pytest(reproducer, design_argument, kvm))
        return 0
    chosen = None if design_argument is None else choose(design_argument)
    design = design_for(reproducer, chosen, kvm, path).design
    option = "" if design_argument is None else f" --design {design_argument}"
    if kvm is not None:
        option += f" --kvm {kvm.argument}"
    if view == PAGE:
        text = page(reproducer, design, f"tdxfuzz replay {path}{option}")
    elif view == MAIL:
        text = mail(
            reproducer,
            run_to_tell(reproducer.case, design),
            f"tdxfuzz replay race.tdx.toml{option}",
        )
    elif view == COLUMNS:
        text = columns(run(reproducer.case, design, traced=True, sources=source), width, source)
    else:
        text = RENDER[view](run_to_tell(reproducer.case, design))
    _print(text)
    return 0


def _print(text: str) -> None:
    """What names and messages of a file may hold must not reach a terminal, an editor or a page."""
    click.echo(visible(text, "\n"), file=our_stdout(), nl=False)


def _as_pytest(reproducer: Reproducer, design_argument: str | None, kvm: ChosenKvm | None) -> str:
    """The test; a file that was named is looked for where it was named from."""
    file, class_name, kvm_file = "", "", ""
    if design_argument is not None and names_file(design_argument):
        path, class_name = split(design_argument)
        file = _from_here(path)
    if kvm is not None:
        kvm_file = _from_here(split(kvm.argument)[0])
    return as_pytest(reproducer, file, class_name, kvm_file)


def _from_here(path: Path) -> str:
    """A path relative to the current folder if it is below it, else absolute."""
    here, whole = Path.cwd(), path.resolve()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)
