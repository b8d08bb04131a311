"""``tdxfuzz verify``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from attrs import evolve, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import fault_of
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import Scenario, with_cpus
from tdxfuzz.cli.clock import Clock
from tdxfuzz.cli.design_arg import ChosenKvm, choose_all
from tdxfuzz.cli.duration import Duration
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.library_hostile import only_hostile, verify_library
from tdxfuzz.cli.options import (
    c_options,
    check_option,
    format_option,
    kvm_option,
    source_option,
    workers_option,
)
from tdxfuzz.cli.out_folder import probe
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import error_document, write_design_error
from tdxfuzz.cli.scenario_arg import choose_scenarios, names_scenario_file, set_up_problems
from tdxfuzz.cli.variant_arg import module_variant_option
from tdxfuzz.cli.verify_hostile import PREEMPTIONS, setup_jobs
from tdxfuzz.cli.verify_job import Findings, Job, run_jobs
from tdxfuzz.cli.verify_scenario import ScenarioJob
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.blame import DesignError
from tdxfuzz.sim import Fault
from tdxfuzz.verify.covers import not_covered
from tdxfuzz.verify.search import Verdict
from tdxfuzz.verify.worklist import DEFAULT_STATES, Bounds

ENOUGH = 120.0
"""Seconds after which a scenario is unknown if the command line gives no bound at all."""

CPUS = 2
"""Of each scenario that is built in."""


@frozen
class _Every:
    """What the command line says about every scenario; its arguments are as there."""

    cpus: int | None
    faults: tuple[Fault, ...]
    checks: tuple[str, ...]
    variant: str

    def case(self, scenario: Scenario, design: str) -> Case:
        """A scenario under a design.

        Raises:
            UsageProblem: the scenario's file has other CPUs, or host operations although the design
                is "hostile".
        """
        own = scenario.world.cpus
        if scenario.file and self.cpus not in (None, own):
            raise UsageProblem(
                f"--cpus {self.cpus} does not go with --scenario {scenario.file}: it has {own} CPUs"
            )
        if design == HOSTILE and not scenario.is_raw:
            raise UsageProblem(
                f"--scenario {scenario.file}: hostile has no host layer, so that all programs must "
                "be raw SEAMCALLs; name a design"
            )
        if not scenario.file:
            scenario = with_cpus(scenario, self.cpus or CPUS)
        case = scenario.case(design)
        faults = tuple(dict.fromkeys((*case.faults, *self.faults)))
        case = evolve(case, faults=faults, checks=self.checks)
        return case if self.variant == DEFAULT.name else case.on_module(self.variant)


@click.command("verify", epilog="Example: tdxfuzz verify merged --scenario map-zap --full")
@click.argument(
    "designs", nargs=-1, required=True, metavar="DESIGN|FILE.py:Class|FILE.c|hostile..."
)
@click.option(
    "--scenario",
    "names",
    metavar="NAME|FILE.toml",
    multiple=True,
    help="Only this one (`tdxfuzz list scenarios`, docs/scenarios.md); for hostile, a set-up or a "
    "file of raw SEAMCALLs. Repeat for several.",
)
@click.option(
    "--cpus",
    type=click.IntRange(2, 8),
    help="Of each built-in scenario; a file says how many it has [default: 2].",
)
@click.option(
    "--faults",
    "fault_texts",
    metavar="KIND[:LEAF]@N",
    multiple=True,
    help="In each order the N-th call fails: refuse:MEM.RANGE.BLOCK@2. Repeat for several.",
)
@check_option
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
    help="hostile only: on this shared library in place of the model (docs/targets.md). Options "
    "without an effect there are refused.",
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
@click.option(
    "--no-tables",
    is_flag=True,
    help="Run code again even where it is known what it does: slower, with the same counts.",
)
@workers_option
@source_option
@c_options
@format_option
def verify_command(
    designs: tuple[str, ...],
    names: tuple[str, ...],
    cpus: int | None,
    fault_texts: tuple[str, ...],
    checks: tuple[str, ...],
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
    no_tables: bool,
    workers: int,
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
    Scenarios are searched at the same time by --workers processes, and reported in order.

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
        only_hostile(click.get_current_context(), designs)
        return verify_library(library, names, cpus or CPUS, seconds, out, Output(as_json))
    unbounded = seconds is None and preemptions is None and not full and checkpoint is None
    try:
        faults = tuple(map(fault_of, fault_texts))
    except ValueError as error:
        raise UsageProblem(f"--faults: {error}") from None
    output = Output(as_json)
    jobs: list[Job] = []
    every = _Every(cpus, faults, checks, variant)
    searched: list[Scenario] = []
    for design in choose_all(designs, hostile=True, kvm=kvm):
        in_files = [name for name in names if names_scenario_file(name)]
        if design.name == HOSTILE and (not names or len(in_files) < len(names)):
            if checkpoint is not None or faults:
                raise UsageProblem(
                    "hostile takes --checkpoint and --faults only with a scenario file; "
                    "leave them out"
                )
            within = PREEMPTIONS if preemptions is None else preemptions
            bounds = Bounds(None if full else within, states)
            setups = [name for name in names if name not in in_files]
            jobs += setup_jobs(design, setups, cpus or CPUS, bounds, output, variant, checks)
        if design.name == HOSTILE and not in_files:
            continue
        for scenario in choose_scenarios(in_files if design.name == HOSTILE else names):
            case = every.case(scenario, design.name)
            most = scenario.preemptions if preemptions is None else preemptions
            bounds = Bounds(None if full else most, states)
            enough = ENOUGH if unbounded else None
            searched.append(scenario)
            job = ScenarioJob.new(
                design, scenario, case, bounds, output, enough, checkpoint, tables=not no_tables
            )
            jobs.append(job)
    by_name = {job.design.name: job.design for job in jobs}
    try:
        found = Findings(out, output, source)
        with set_up_problems(searched):
            lost = run_jobs(jobs, Clock(seconds), fail_fast, found, workers, output.progress)
    except DesignError as error:
        design = next(iter(by_name.values()))
        if error.run is not None:
            design = by_name[error.run.case.design]
        saved = write_design_error(error, design, out, output)
        output.json(error_document(error, saved))
        raise
    _report_all(jobs, output)
    verdict = overall([job.verdict for job in jobs])
    document = {"verdict": verdict.value, "results": [job.document() for job in jobs]}
    if lost is not None:
        output.json({**document, "verdict": "error", "error": str(lost)})
        raise lost
    output.json(document)
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
