"""``tdxfuzz show``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from tdxfuzz.case.scenarios import Scenario
from tdxfuzz.case.visible import visible
from tdxfuzz.cli.design_arg import ChosenKvm, choose
from tdxfuzz.cli.design_prints import our_stdout
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.file_design import Given, design_for, replaced
from tdxfuzz.cli.options import design_option, source_option
from tdxfuzz.cli.output import print_error
from tdxfuzz.cli.replay_library import show_divergence
from tdxfuzz.cli.scenario_arg import choose_scenario, names_scenario_file
from tdxfuzz.host.design_file import names_file, split
from tdxfuzz.repro.as_c import as_c
from tdxfuzz.repro.as_pytest import as_pytest
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.mail import mail
from tdxfuzz.repro.mermaid import mermaid
from tdxfuzz.repro.page import page
from tdxfuzz.repro.page.frames import run_to_tell
from tdxfuzz.repro.read import has_finding, read, read_scenario
from tdxfuzz.repro.reproducer import Reproducer
from tdxfuzz.repro.scenario_text import scenario_text
from tdxfuzz.repro.steps import as_json, steps
from tdxfuzz.repro.svg import svg
from tdxfuzz.repro.write import scenario_to_toml
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.targets.library.files import SUFFIX as LINES

RENDER: dict[str, Callable[[Run], str]] = {
    "steps": steps,
    "c": as_c,
    "mermaid": mermaid,
    "svg": svg,
    "json": lambda run: as_json(run) + "\n",
}
COLUMNS = "columns"
PAGE, MAIL, TOML = "page", "mail", "toml"
SHOWN_UNDER = "merged"
"""The design that makes the set-up of a scenario, if the user names none."""
VIEWS = (COLUMNS, PAGE, MAIL, *RENDER, "pytest", TOML)


def _scenario(scenario: Scenario, view: str, design_argument: str | None) -> str:
    if view == TOML:
        return scenario_to_toml(scenario)
    if view != COLUMNS:
        raise UsageProblem(
            f"--as {view} shows a run, and {scenario.name} is a scenario, which has no order; "
            "leave it out, or take --as toml"
        )
    design = choose(design_argument or SHOWN_UNDER, hostile=True)
    return scenario_text(scenario, design.name, design.design)


@click.command("show", epilog="Example: tdxfuzz show bug.tdx.toml --width 72 | mail -s 'A race' …")
@click.argument("what", metavar="FILE|SCENARIO")
@click.option(
    "--as",
    "view",
    type=click.Choice(VIEWS),
    default=COLUMNS,
    show_default=True,
    help="The view, see above. A scenario has none but toml.",
)
@click.option(
    "--width",
    type=click.IntRange(40, 400),
    default=100,
    show_default=True,
    help="Characters in a line of the columns view.",
)
@source_option
@design_option
def show_command(
    what: str,
    view: str,
    width: int,
    source: bool,
    design_argument: str | None,
    kvm: ChosenKvm | None,
) -> int:
    """Show what happens in a reproducer, or what a scenario is.

    Choose a view with --as. columns: a table with one column for each CPU and one line for
    each SEAMCALL. page: an HTML file to step through, with the state after each line and the
    nearest orders in which nothing shows. mail: 72 columns, with a paragraph in front. c: a C
    program whose threads make the same SEAMCALLs in the same order. steps: every atomic step
    and the cell that it touches. svg: a picture with a lane for each CPU. mermaid: a diagram
    for Markdown. pytest: a test that passes when the bug no longer shows; the file of your own
    design is looked for beside the test and in the folders above. json: the records of the trace.
    toml: the programs alone, as a scenario file.

    Of a divergence of a library (`tdxfuzz diff`, *.jsonl) it shows what both sides did, and the
    calls with what the library answered.

    Of a scenario (`tdxfuzz list scenarios`, or a file) it shows the world, which page each slot
    is, the set-up, each CPU's program, and the kernel's pages after the set-up.
    """
    path = Path(what)
    if path.suffix == LINES and path.exists():
        if view != COLUMNS:
            raise UsageProblem(f"--as {view} shows a run, and {path} is a divergence of a library")
        _print(show_divergence(path))
        return 0
    is_scenario = not path.exists() and not names_scenario_file(what)
    if is_scenario or view == TOML or not has_finding(path):
        scenario = choose_scenario(what) if is_scenario else read_scenario(path)
        click.echo(_scenario(scenario, view, design_argument), file=our_stdout(), nl=False)
        return 0
    if source and view != COLUMNS:
        raise UsageProblem(f"--source goes with the columns view, not with --as {view}")
    reproducer = read(path)
    if view == "pytest":
        _print(_as_pytest(reproducer, design_argument, kvm))
        return 0
    chosen = None if design_argument is None else choose(design_argument)
    taken = design_for(reproducer, Given(chosen, kvm), path)
    design = taken.design
    instead = replaced(reproducer, taken)
    if instead is not None:
        print_error(f"{path}: this is {instead}")
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
    # A tab moves nothing but what stands behind it, and C is indented by tabs.
    _print(text, "\n\t" if view == "c" else "\n")
    return 0


def _print(text: str, keep: str = "\n") -> None:
    """What names and messages of a file may hold must not reach a terminal, an editor or a page."""
    click.echo(visible(text, keep), file=our_stdout(), nl=False)


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
