"""``tdxfuzz verify``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from attrs import evolve, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import SCENARIOS, with_cpus
from tdxfuzz.cli.design_arg import Chosen, choose
from tdxfuzz.cli.duration import Duration
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.cli.options import format_option, module_variant_option
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import (
    STYLES,
    SYSTEMATIC,
    counts_document,
    finding_document,
    write_finding,
)
from tdxfuzz.cli.verify_hostile import PREEMPTIONS, HostileResult, verify_hostile
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.repro.save import Saved
from tdxfuzz.repro.words import counted
from tdxfuzz.verify.checkpoint import CheckpointError, load, save
from tdxfuzz.verify.search import Verdict, VerifyResult, verify
from tdxfuzz.verify.worklist import DEFAULT_STATES, Bounds, SearchCounts, Worklist


@frozen
class ScenarioResult:
    """One scenario under one design."""

    design: Chosen
    scenario: str
    result: VerifyResult
    saved: Saved | None

    @property
    def verdict(self) -> Verdict:
        """Of the scenario."""
        return self.result.verdict

    def document(self) -> Mapping[str, object]:
        """With the keys scripts rely on."""
        return {
            "design": self.design.name,
            "scenario": self.scenario,
            "verdict": self.verdict.value,
            "why": self.result.why,
            "bounds": str(self.result.bounds),
            **counts_document(self.result.counts),
            "final_states": len(self.result.counts.finals),
            "findings": [] if self.saved is None else [finding_document(self.saved)],
        }


ENOUGH = 120.0
"""Seconds after which a scenario is unknown to somebody who gave no bound at all."""


@click.command("verify", epilog="Example: tdxfuzz verify merged --scenario map-zap --full")
@click.argument("designs", nargs=-1, required=True, metavar="DESIGN|FILE.py:Class|hostile...")
@click.option(
    "--scenario",
    "names",
    multiple=True,
    help="Only this one (`tdxfuzz list scenarios`); with hostile, a set-up.",
)
@click.option("--cpus", type=click.IntRange(2, 8), default=2, show_default=True)
@click.option(
    "--preemptions",
    type=click.IntRange(min=0),
    help="All orders with so many preemptions at most [default: what each scenario can afford].",
)
@click.option("--full", is_flag=True, help="All orders, without a bound on preemptions.")
@module_variant_option
@click.option("--states", type=click.IntRange(min=1), default=DEFAULT_STATES, show_default=True)
@click.option(
    "--time",
    "seconds",
    type=Duration(),
    help="Stop a scenario after 60s, 2m, 1h [default: 2m, where no other bound is given].",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder in which unfinished searches are kept; the same command again goes on.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reproducers"),
    show_default=True,
    help="Folder for reproducer files.",
)
@format_option
def verify_command(
    designs: tuple[str, ...],
    names: tuple[str, ...],
    cpus: int,
    preemptions: int | None,
    full: bool,
    variant: str,
    states: int,
    seconds: float | None,
    checkpoint: Path | None,
    out: Path,
    as_json: bool,
) -> int:
    """Explore all orders of small scenarios, and say whether any of them breaks a design.

    CPUs may change places at every lock instruction. States that were met before are not
    explored again, so that a verdict is about all orders within the stated bounds:
    pass, fail (with a shrunk trace and a reproducer), or unknown when a bound was hit or
    nothing interesting could happen. docs/verify.md tells what a pass means. Without
    --full or --preemptions the larger scenarios are bounded, the smaller ones are not;
    without these, --time or --checkpoint none takes longer than two minutes.

    `verify hostile` has no host layer: after each of a library of set-ups, pairs of raw
    SEAMCALLs that succeed there overlap, up to four of each leaf; with --cpus 3 triples. All
    orders with up to 2 preemptions, unless --full or --preemptions says otherwise.

    Exit: 0 every verdict is pass, 1 a finding, 2 wrong usage or a design that raised,
    3 some verdict is unknown.
    """
    if full and preemptions is not None:
        raise UsageProblem("--full and --preemptions exclude each other")
    unbounded = seconds is None and preemptions is None and not full and checkpoint is None
    output = Output(as_json)
    results: list[ScenarioResult | HostileResult] = []
    chosen = [choose(argument, hostile=True) for argument in designs]
    for design in chosen:
        if design.name == HOSTILE:
            within = PREEMPTIONS if preemptions is None else preemptions
            bounds = Bounds(None if full else within, states, seconds)
            if variant != DEFAULT.name or checkpoint is not None:
                raise UsageProblem("hostile takes neither --module-variant nor --checkpoint")
            results += verify_hostile(design, names, cpus, bounds, out, output)
            continue
        for name in names:
            if name not in SCENARIOS:
                raise unknown("scenario", name, SCENARIOS)
        for name in names or SCENARIOS:
            scenario = with_cpus(SCENARIOS[name], cpus)
            case = scenario.case(design.name).on_module(variant)
            most = scenario.preemptions if preemptions is None else preemptions
            bounds = Bounds(None if full else most, states, ENOUGH if unbounded else seconds)
            result = _search(case, design, name, bounds, checkpoint, output)
            saved = None
            _report(design, name, result, output)
            if result.found is not None:
                saved = write_finding(result.found, design, SYSTEMATIC, 0, out, output)
            results.append(ScenarioResult(design, name, result, saved))
            if result.why == "interrupted":
                break
    verdict = overall([result.verdict for result in results])
    output.json({"verdict": verdict.value, "results": [result.document() for result in results]})
    return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}[verdict]


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """Fail if any failed, else unknown if any is."""
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.UNKNOWN if Verdict.UNKNOWN in verdicts else Verdict.PASS


def _search(
    case: Case,
    design: Chosen,
    name: str,
    bounds: Bounds,
    checkpoint: Path | None,
    output: Output,
) -> VerifyResult:
    def progress(counts: SearchCounts, todo: int) -> None:
        output.progress(
            f"{design.name} {name}: {counts.states:,} states, {counts.transitions:,} "
            f"transitions, {counts.schedules:,} schedules, {todo:,} to do"
        )

    if checkpoint is None:
        return verify(case, design.design, bounds, progress)
    digest = "" if design.file is None else design.file.sha256
    variant = case.world.module_variant
    identity = f"{design.name} {digest} {name} {case.world.cpus} CPUs, {bounds}, {variant}"
    path = checkpoint / f"{design.name}-{name}-{case.world.cpus}.verify.gz"
    worklist, counts = Worklist(), SearchCounts()
    if path.exists():
        try:
            worklist, counts = load(path, identity)
        except CheckpointError as error:
            raise UsageProblem(f"{error}; remove it to begin again") from None
        output.line(f"{name}: going on from {path}, {counts.states:,} states")
    if bounds.seconds is not None:
        bounds = evolve(bounds, seconds=bounds.seconds + counts.seconds)
    result = verify(case, design.design, bounds, progress, worklist, counts)
    if result.verdict is Verdict.UNKNOWN and worklist.todo:
        checkpoint.mkdir(parents=True, exist_ok=True)
        save(path, identity, worklist, counts)
        output.line(f"{name}: unfinished, kept in {path}")
    else:
        path.unlink(missing_ok=True)
    return result


def _report(design: Chosen, name: str, result: VerifyResult, output: Output) -> None:
    counts = result.counts
    why = f" ({result.why})" if result.why else ""
    output.line(
        f"{design.name} {name}: {result.verdict.value}{why}: {result.bounds}, "
        f"{counted(counts.states, 'state')}, {counted(counts.transitions, 'transition')}, "
        f"{counted(counts.schedules, 'schedule')}, depth {counts.depth}, "
        f"{counted(len(counts.finals), 'final state')}, {counts.seconds:.1f} s",
        style=STYLES[result.verdict],
    )
