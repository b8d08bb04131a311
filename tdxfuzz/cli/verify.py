"""``tdxfuzz verify``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import SCENARIOS, with_cpus
from tdxfuzz.cli.clock import Clock
from tdxfuzz.cli.design_arg import ChosenKvm, choose
from tdxfuzz.cli.duration import Duration
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.cli.library_hostile import only_hostile, verify_library
from tdxfuzz.cli.options import (
    c_options,
    format_option,
    kvm_option,
    module_variant_option,
    source_option,
)
from tdxfuzz.cli.out_folder import probe
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import error_document, write_design_error
from tdxfuzz.cli.verify_hostile import PREEMPTIONS, setup_jobs
from tdxfuzz.cli.verify_job import Findings, Job, run_jobs
from tdxfuzz.cli.verify_scenario import ScenarioJob
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.blame import DesignError
from tdxfuzz.verify.covers import not_covered
from tdxfuzz.verify.search import Verdict
from tdxfuzz.verify.worklist import DEFAULT_STATES, Bounds

ENOUGH = 120.0
"""Seconds after which a scenario is unknown if the command line gives no bound at all."""


@click.command("verify", epilog="Example: tdxfuzz verify merged --scenario map-zap --full")
@click.argument(
    "designs", nargs=-1, required=True, metavar="DESIGN|FILE.py:Class|FILE.c|hostile..."
)
@click.option(
    "--scenario",
    "names",
    multiple=True,
    help="Only this one (`tdxfuzz list scenarios`); for hostile, a set-up. Repeat for several.",
)
@click.option("--cpus", type=click.IntRange(2, 8), default=2, show_default=True)
@click.option(
    "--preemptions",
    type=click.IntRange(min=0),
    help="Try all orders with at most this many preemptions [default: a bound per scenario].",
)
@click.option("--full", is_flag=True, help="Try all orders, without a bound on preemptions.")
@module_variant_option
@kvm_option
@click.option(
    "--states",
    type=click.IntRange(min=1),
    default=DEFAULT_STATES,
    show_default=True,
    help="Stop a scenario after this many states; they bound the memory.",
)
@click.option(
    "--time",
    "seconds",
    type=Duration(),
    help="Stop the whole command after this time: 60s, 2m, 1h [default: 2m for each scenario if "
    "no bound is given].",
)
@click.option(
    "--library",
    type=click.Path(path_type=Path, dir_okay=False),
    help="hostile only: on this shared library in place of the model (docs/targets.md).",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first finding.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep unfinished searches in this folder. The same command then continues them.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reproducers"),
    show_default=True,
    help="Folder for reproducer files.",
)
@source_option
@c_options
@format_option
def verify_command(
    designs: tuple[str, ...],
    names: tuple[str, ...],
    cpus: int,
    preemptions: int | None,
    full: bool,
    variant: str,
    kvm: ChosenKvm | None,
    states: int,
    seconds: float | None,
    library: Path | None,
    fail_fast: bool,
    checkpoint: Path | None,
    out: Path,
    source: bool,
    as_json: bool,
) -> int:
    """Run small scenarios in all orders, and say whether an order breaks a design.

    Use it after a hunt without a finding. The scheduler may switch CPUs at every lock
    instruction. States that were met before are not explored again, so a verdict covers all
    orders within the printed bounds. docs/verify.md says what a pass means.

    The verdict is pass; or fail, with a shrunk trace and a reproducer; or unknown, because a
    bound was reached or the run was vacuous. A scenario ends with its first finding, and the
    next one begins. A bug that several scenarios show is shown once. The last lines say which
    scenario has which verdict, and what no pass covers.

    Large scenarios have a bound on preemptions, unless --full or --preemptions is given.
    Without these, --time and --checkpoint, each scenario stops after two minutes. The time of
    --time is shared: each scenario gets a part, and those that need more get what is left.

    `hostile` has no host layer. For each of its set-ups, pairs of raw SEAMCALLs that succeed
    there overlap, up to four of each leaf (triples with --cpus 3). The default is all orders
    with up to 2 preemptions.

    Ctrl-C ends the command with what it has; what was not searched is unknown.

    Exit codes: 0 every verdict is pass; 1 a finding; 2 wrong usage, or a design that raised,
    hangs or keeps state outside of cells; 3 a verdict is unknown, and there is no finding.
    """
    if full and preemptions is not None:
        raise UsageProblem("--full and --preemptions exclude each other; give one of them")
    probe(out)
    if checkpoint is not None:
        probe(checkpoint.parent)
    if library is not None:
        only_hostile(designs)
        return verify_library(library, names, cpus, seconds, out, Output(as_json))
    unbounded = seconds is None and preemptions is None and not full and checkpoint is None
    output = Output(as_json)
    jobs: list[Job] = []
    for design in [choose(argument, hostile=True, kvm=kvm) for argument in designs]:
        if design.name == HOSTILE:
            if variant != DEFAULT.name or checkpoint is not None:
                raise UsageProblem(
                    "hostile takes neither --module-variant nor --checkpoint; leave them out"
                )
            within = PREEMPTIONS if preemptions is None else preemptions
            bounds = Bounds(None if full else within, states)
            jobs += setup_jobs(design, names, cpus, bounds, output)
            continue
        for name in names:
            if name not in SCENARIOS:
                raise unknown("scenario", name, SCENARIOS)
        for name in names or SCENARIOS:
            scenario = with_cpus(SCENARIOS[name], cpus)
            case = scenario.case(design.name).on_module(variant)
            most = scenario.preemptions if preemptions is None else preemptions
            bounds = Bounds(None if full else most, states)
            enough = ENOUGH if unbounded else None
            jobs.append(ScenarioJob.new(design, name, case, bounds, output, enough, checkpoint))
    by_name = {job.design.name: job.design for job in jobs}
    try:
        run_jobs(jobs, Clock(seconds), fail_fast, Findings(out, output, source))
    except DesignError as error:
        design = next(iter(by_name.values()))
        if error.run is not None:
            design = by_name[error.run.case.design]
        saved = write_design_error(error, design, out, output)
        output.json(error_document(error, saved))
        raise
    _report_all(jobs, output)
    verdict = overall([job.verdict for job in jobs])
    output.json({"verdict": verdict.value, "results": [job.document() for job in jobs]})
    return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}[verdict]


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """Fail if a verdict is fail, else unknown if one is unknown, else pass."""
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.UNKNOWN if Verdict.UNKNOWN in verdicts else Verdict.PASS


def _report_all(jobs: Sequence[Job], output: Output) -> None:
    """The closing table, if there is more than one verdict, and what no pass covers."""
    if len(jobs) > 1:
        names = list(dict.fromkeys(job.design.name for job in jobs))
        cells = {(job.design.name, job.scenario): _cell(job) for job in jobs}
        scenarios = dict.fromkeys(job.scenario for job in jobs)
        rows = [(each, *(cells.get((name, each), "") for name in names)) for each in scenarios]
        output.line()
        output.table(("scenario", *names), rows)
    passes = [job.covers for job in jobs if job.verdict is Verdict.PASS]
    if passes:
        output.line(f"not covered: {not_covered(passes)}")


def _cell(job: Job) -> str:
    """A verdict in the closing table."""
    return job.kind_of_verdict() if job.begun else "not begun"
