"""``tdxfuzz matrix``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from tdxfuzz.case.case import Case
from tdxfuzz.cli.compare import SEED, run_comparison
from tdxfuzz.cli.ctrl_c import noted
from tdxfuzz.cli.design_arg import Chosen, ChosenKvm, choose_all
from tdxfuzz.cli.duration import Duration
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.options import c_options, check_option, format_option, kvm_option, workers_option
from tdxfuzz.cli.out_folder import keep, probe
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.plan_problems import plan_problems
from tdxfuzz.cli.scenario_arg import choose_scenarios, set_up_problems
from tdxfuzz.cli.variant_arg import module_variant_option
from tdxfuzz.cli.workers import Stop, Tell, Workers
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.save import prepare
from tdxfuzz.run.session import run
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.survey.matrix import Effort, MatrixCell, MatrixEntry, row
from tdxfuzz.survey.matrix_page import markdown

SIGNS = {
    MatrixCell.CLEAN: "clean",
    MatrixCell.DECLARED: "declared",
    MatrixCell.FOUND: "FOUND",
    MatrixCell.UNKNOWN: "?",
}
HUNT_SHARE = 0.5
"""Seconds of hunting for each second that a scenario may take."""


@click.command("matrix", epilog="Example: tdxfuzz matrix hint v4 merged --time 30s")
@click.argument("designs", nargs=-1, metavar="[DESIGN|FILE.py:Class|FILE.c]...")
@click.option(
    "--time",
    "seconds",
    type=Duration(),
    default="60s",
    show_default=True,
    help="Stop each scenario of each design after this time.",
)
@click.option(
    "--scenario",
    "names",
    metavar="NAME|FILE.toml",
    multiple=True,
    help="Only this one (`tdxfuzz list scenarios`, docs/scenarios.md); repeat for several.",
)
@check_option
@module_variant_option
@kvm_option
@workers_option
@click.option(
    "--compare",
    is_flag=True,
    help="Instead, run the same random programs under each design and compare their costs.",
)
@click.option("--markdown", "page", type=click.Path(path_type=Path), help="Also write a page.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reproducers"),
    show_default=True,
    help="Folder for reproducer files.",
)
@c_options
@format_option
def matrix_command(
    designs: tuple[str, ...],
    seconds: float,
    names: tuple[str, ...],
    checks: tuple[str, ...],
    variant: str,
    kvm: ChosenKvm | None,
    workers: int,
    compare: bool,
    page: Path | None,
    out: Path,
    as_json: bool,
) -> int:
    """Test designs in every way, and show which check finds something in which design.

    Use it to compare a new design with the built-in ones. A row of the table is a design, a
    column is a check. The last two columns show what scenarios with 2MB pages and with running
    TDs found. The default is all built-in designs.

    Each design runs all orders of every scenario on two CPUs, one run for each allocation
    that fails, one for each SEAMCALL that is interrupted or gets no entropy, and a hunt on
    three CPUs.

    With --compare the designs run the same random programs for the given time. The table
    shows which programs break which design, how many PAMT calls it makes, and how often CPUs
    wait.

    The column `livelock` says whether every order ends; "declared" means that some do not, and
    that the design accepts it.

    "?" is unknown: nothing was found, but a search did not end, or the situation that a check
    needs never occurred. Below the table the reasons are named.

    Ctrl-C ends the command. The table has the designs that were begun; what was left out there
    is unknown.

    Exit codes: 0 every cell is clean or declared; 1 a finding; 2 wrong usage, or a design that
    raised an exception; 3 unknown: no finding, but not every cell is clean.
    """
    scenarios = choose_scenarios(names)
    probe(out)
    if page is not None:
        probe(page.parent)
    effort = Effort(seconds, seconds * HUNT_SHARE, tuple(scenarios), variant=variant, checks=checks)
    output = Output(as_json)
    chosen = choose_all(designs or DESIGNS, kvm=kvm)
    if compare:
        if len(names) > 1 or page is not None:
            raise UsageProblem(
                "--compare takes one --scenario at most and no --markdown; leave them out"
            )
        with set_up_problems(scenarios), plan_problems():
            one = scenarios[0] if names else None
            plans = [
                HuntPlan(
                    design.name,
                    Budget(seconds=seconds),
                    design=design.design,
                    seed=SEED,
                    scenario=one,
                    variant=variant,
                    checks=checks,
                )
                for design in chosen
            ]
            return run_comparison(chosen, plans, out, output, workers)
    entries: list[MatrixEntry] = []
    links: dict[tuple[str, str], str] = {}
    with noted() as stop, set_up_problems(scenarios):
        for design, own in _rows(chosen, effort, workers, output, stop):
            for cell in own:
                if cell.found is not None:
                    links[cell.design, cell.check] = _save(cell.found, design, out, output, stop)
            entries += own
            output.line(f"{design.name}: {_summary(own)}")
    output.line()
    done = dict.fromkeys(entry.design for entry in entries)
    columns = list(dict.fromkeys(entry.check for entry in entries))
    signs = {(entry.design, entry.check): SIGNS[entry.cell] for entry in entries}
    rows = [(name, *(signs.get((name, column), "") for column in columns)) for name in done]
    output.table(("design", *columns), rows)
    _explain_unknown(entries, output)
    not_begun = [design.name for design in chosen if design.name not in done]
    if not_begun:
        output.line(f"interrupted; not begun: {', '.join(not_begun)}")
    if page is not None and entries:
        command = "tdxfuzz " + " ".join(sys.argv[1:])
        relative = {key: _relative(path, page) for key, path in links.items()}
        if keep(markdown(entries, command, relative), page, output):
            output.line(f"written: {page}")
    cells = [_document(entry, links) for entry in entries]
    output.json({"cells": cells, "not_begun": not_begun})
    verdicts = {entry.cell for entry in entries} | ({MatrixCell.UNKNOWN} if not_begun else set())
    return 1 if MatrixCell.FOUND in verdicts else 3 if MatrixCell.UNKNOWN in verdicts else 0


def _rows(
    chosen: list[Chosen], effort: Effort, workers: int, output: Output, stop: Callable[[], bool]
) -> Iterator[tuple[Chosen, list[MatrixEntry]]]:
    """The rows in order, until Ctrl-C."""

    def serve(number: int, stop: Stop, tell: Tell) -> list[MatrixEntry]:
        design = chosen[number]
        return row(design.name, design.design, effort, tell, stop)

    def look() -> None:
        if crew.told:
            output.progress(" | ".join(map(str, crew.told)))

    with Workers(min(workers, len(chosen)), stop, look) as crew:
        rows = crew.in_order("matrix", serve, range(len(chosen)))
        # Fewer rows if it is interrupted.
        yield from zip(chosen, rows, strict=False)


def _save(case: Case, design: Chosen, out: Path, output: Output, stop: Callable[[], bool]) -> str:
    """Write the reproducer of a cell, shrunk if there is time; its path."""
    found = run(case, design.design)
    best = found if stop() else shrink(found, design.design).run
    saved = prepare(best, found, out, design.design, design.file)
    keep(saved.text, saved.path, output)
    return str(saved.path)


def _explain_unknown(entries: list[MatrixEntry], output: Output) -> None:
    """Below the table, what each ``?`` stands for."""
    checks_of: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        if entry.cell is MatrixCell.UNKNOWN:
            checks_of.setdefault((entry.design, entry.why), []).append(entry.check)
    if not checks_of:
        return
    output.line()
    output.line(f"{SIGNS[MatrixCell.UNKNOWN]}: unknown. Nothing was found, but")
    for (design, why), checks in checks_of.items():
        output.line(f"  {design}, {', '.join(checks)}: {why}")


def _summary(cells: list[MatrixEntry]) -> str:
    found = [cell.check for cell in cells if cell.cell is MatrixCell.FOUND]
    unknown_cells = sum(cell.cell is MatrixCell.UNKNOWN for cell in cells)
    parts = [f"found {', '.join(found)}" if found else "nothing found"]
    if unknown_cells:
        parts.append(f"{unknown_cells} unknown")
    return "; ".join(parts)


def _relative(path: str, page: Path) -> str:
    """The path of a reproducer relative to the page."""
    target, folder = Path(path).resolve(), page.resolve().parent
    up = 0
    while not target.is_relative_to(folder):
        folder, up = folder.parent, up + 1
    return "../" * up + str(target.relative_to(folder))


def _document(entry: MatrixEntry, links: dict[tuple[str, str], str]) -> dict[str, object]:
    return {
        "design": entry.design,
        "check": entry.check,
        "verdict": entry.cell.value,
        "reproducer": links.get((entry.design, entry.check)),
        "bounds": entry.bounds,
        "why": entry.why,
        "loop": None if entry.loop is None else entry.loop.value,
    }
