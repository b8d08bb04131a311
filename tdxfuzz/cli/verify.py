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
from tdxfuzz.cli.options import c_options, format_option, module_variant_option
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

    @property
    def ends(self) -> bool | str | None:
        """Whether every order ends; within a bound on preemptions only that is known."""
        bounded = self.result.bounds.preemptions is not None
        return "within-bound" if self.result.ends and bounded else self.result.ends

    def document(self) -> Mapping[str, object]:
        """With the keys scripts rely on."""
        return {
            "design": self.design.name,
            "scenario": self.scenario,
            "verdict": self.verdict.value,
            "why": self.result.why,
            "bounds": str(self.result.bounds),
            "ends": self.ends,
            "loop": None if self.result.loop is None else self.result.loop.value,
            **counts_document(self.result.counts),
            "final_states": len(self.result.counts.finals),
            "findings": [] if self.saved is None else [finding_document(self.saved)],
        }


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
    help="Stop a scenario after this time: 60s, 2m, 1h [default: 2m if no bound is given].",
)
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
@c_options
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
    """Run small scenarios in all orders, and say whether an order breaks a design.

    Use it after a hunt without a finding. The scheduler may switch CPUs at every lock
    instruction. States that were met before are not explored again, so a verdict covers all
    orders within the printed bounds. docs/verify.md says what a pass means.

    The verdict is pass; or fail, with a shrunk trace and a reproducer; or unknown, because a
    bound was reached or the run was vacuous.

    Large scenarios have a bound on preemptions, unless --full or --preemptions is given.
    Without these, --time and --checkpoint, each scenario stops after two minutes.

    `hostile` has no host layer. For each of its set-ups, pairs of raw SEAMCALLs that succeed
    there overlap, up to four of each leaf (triples with --cpus 3). The default is all orders
    with up to 2 preemptions.

    Exit codes: 0 every verdict is pass; 1 a finding; 2 wrong usage, or a design that raised
    an exception; 3 a verdict is unknown, and there is no finding.
    """
    if full and preemptions is not None:
        raise UsageProblem("--full and --preemptions exclude each other; give one of them")
    unbounded = seconds is None and preemptions is None and not full and checkpoint is None
    output = Output(as_json)
    results: list[ScenarioResult | HostileResult] = []
    chosen = [choose(argument, hostile=True) for argument in designs]
    for design in chosen:
        if design.name == HOSTILE:
            within = PREEMPTIONS if preemptions is None else preemptions
            bounds = Bounds(None if full else within, states, seconds)
            if variant != DEFAULT.name or checkpoint is not None:
                raise UsageProblem(
                    "hostile takes neither --module-variant nor --checkpoint; leave them out"
                )
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
    """Fail if a verdict is fail, else unknown if one is unknown, else pass."""
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
            raise UsageProblem(f"{error}; remove the file to start again") from None
        output.line(f"{name}: continued from {path}, {counts.states:,} states")
    if bounds.seconds is not None:
        bounds = evolve(bounds, seconds=bounds.seconds + counts.seconds)
    result = verify(case, design.design, bounds, progress, worklist, counts)
    if result.verdict is Verdict.UNKNOWN and worklist.todo:
        checkpoint.mkdir(parents=True, exist_ok=True)
        save(path, identity, worklist, counts)
        output.line(f"{name}: unfinished, kept in {path}; the same command continues it")
    else:
        path.unlink(missing_ok=True)
    return result


def _report(design: Chosen, name: str, result: VerifyResult, output: Output) -> None:
    counts = result.counts
    why = f" ({result.why})" if result.why else ""
    if result.loop is not None:
        why = f" ({result.loop.value}: some orders do not end)"
    elif result.starves:
        why = " (some orders do not end, as the design declares)"
    elif result.ends and result.bounds.preemptions is None:
        why = " (every order ends)"
    elif result.ends:
        why = " (every order within the bound ends)"
    output.line(
        f"{design.name} {name}: {result.verdict.value}{why}: {result.bounds}, "
        f"{counted(counts.states, 'state')}, {counted(counts.transitions, 'transition')}, "
        f"{counted(counts.schedules, 'schedule')}, depth {counts.depth}, "
        f"{counted(len(counts.finals), 'final state')}, {counts.seconds:.1f} s",
        style=STYLES[result.verdict],
    )
