"""``tdxfuzz hunt``."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import click
from attrs import frozen

from tdxfuzz.case.faults import KINDS
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import SCENARIOS, Scenario
from tdxfuzz.cli.design_arg import Chosen, choose
from tdxfuzz.cli.duration import Duration
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.cli.options import format_option, module_variant_option
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import finding_document, write_finding
from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.events import CaseRun, Found, HuntEvent
from tdxfuzz.engines.hunt import Budget, HuntResult, hunt
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.generate.huge_programs import Huge
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.save import Saved
from tdxfuzz.repro.words import counted
from tdxfuzz.testing.hypothesis_hunt import hunt_with_hypothesis

HYPOTHESIS = "hypothesis"
DEFAULT_SECONDS = 60.0


@click.command("hunt", epilog="Example: tdxfuzz hunt hint --time 30s")
@click.argument("designs", nargs=-1, metavar="[DESIGN|FILE.py:Class|hostile]...")
@click.option(
    "--engine",
    default="portfolio",
    show_default=True,
    help=f"What chooses programs and orders: {', '.join([*ENGINES, HYPOTHESIS])}.",
)
@click.option("--time", "seconds", type=Duration(), help="Stop after this time: 60s, 2m, 1h.")
@click.option("--cases", type=click.IntRange(min=1), help="Stop after this number of cases.")
@click.option("--scenario", "scenario_name", help="Run only this one (`tdxfuzz list scenarios`).")
@click.option(
    "--huge",
    type=click.Choice([huge.value for huge in Huge]),
    help="Draw programs with 2MB pages. A 2MB page is split into 512 pages (real) or 4 (few).",
)
@click.option(
    "--faults",
    type=click.Choice(KINDS),
    multiple=True,
    help="Inject one or two of these faults into each case; repeat for several kinds. busy and "
    "refuse are what-ifs, because the module never answers so without a reason.",
)
@click.option("--cpus", type=click.IntRange(1, 8), default=2, show_default=True)
@module_variant_option
@click.option("--seed", type=click.IntRange(min=0), help="Random seed [default: random].")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reproducers"),
    show_default=True,
    help="Folder for reproducer files.",
)
@click.option(
    "--expect-finding", is_flag=True, help="Exit 0 with a finding and 1 without (for demos)."
)
@format_option
def hunt_command(
    designs: tuple[str, ...],
    engine: str,
    seconds: float | None,
    cases: int | None,
    scenario_name: str | None,
    huge: str | None,
    faults: tuple[str, ...],
    cpus: int,
    variant: str,
    seed: int | None,
    out: Path,
    expect_finding: bool,
    as_json: bool,
) -> int:
    """Run random programs in many orders until a check fires or the time is over.

    Use it first for a new design: it finds most races in seconds. A hunt without a finding
    proves nothing; `tdxfuzz verify` tries all orders of small programs.

    DESIGN is a built-in design (`tdxfuzz list designs`) or a class in your own file. The
    default is all built-in designs, one after the other. The first finding of a design is
    shrunk, shown as a trace in columns, and written as a reproducer file.

    `hostile` has no host layer: every CPU makes raw SEAMCALLs. That hunt does not end at the
    first finding. It ends with the time, and writes one reproducer for each bucket.

    The default time is 60s. With --seed and --cases the result is the same in each run.

    Exit codes: 0 no finding; 1 a finding; 2 wrong usage, or a design that raised an
    exception; 3 unknown: interrupted, or a check was vacuous (the last lines say which).
    """
    if engine not in (*ENGINES, HYPOTHESIS):
        raise unknown("engine", engine, (*ENGINES, HYPOTHESIS))
    if scenario_name is not None and scenario_name not in SCENARIOS:
        raise unknown("scenario", scenario_name, SCENARIOS)
    scenario = None if scenario_name is None else SCENARIOS[scenario_name]
    if seconds is None and cases is None:
        seconds = DEFAULT_SECONDS
    chosen = [choose(argument, hostile=True) for argument in designs or DESIGNS]
    if HOSTILE in designs and scenario is not None:
        raise UsageProblem(f"{HOSTILE} takes no --scenario; leave it out, or name a design")
    if huge is not None and (scenario is not None or HOSTILE in designs or engine == HYPOTHESIS):
        raise UsageProblem(
            f"--huge draws its own programs; use it without --scenario, {HOSTILE} and "
            f"--engine {HYPOTHESIS}"
        )
    if faults and (HOSTILE in designs or engine == HYPOTHESIS):
        raise UsageProblem(f"--faults works only without {HOSTILE} and --engine {HYPOTHESIS}")
    drawn = DrawOptions(None if huge is None else Huge(huge), faults)
    used_seed = secrets.randbelow(1 << 32) if seed is None else seed
    output = Output(as_json)
    results: list[tuple[Chosen, HuntResult]] = []
    found: list[Saved] = []
    for design in chosen:
        output.line(
            f"hunting {design.name}: engine {engine}, {cpus} CPUs, seed {used_seed}, "
            f"{_budget_text(seconds, cases)}"
        )
        budget = Budget(seconds, cases)
        hunted = _hunt(design, engine, used_seed, budget, cpus, scenario, variant, drawn, output)
        results.append((design, hunted))
        for first in hunted.findings.values():
            found.append(write_finding(first.run, design, engine, used_seed, out, output))
        if not hunted.findings or design.name == HOSTILE:
            _report_statistics(design, hunted, output)
        if hunted.interrupted:
            output.line("interrupted")
            break
    output.line(f"seed {used_seed}")
    verdict = _verdict(results)
    output.json(_document(verdict, used_seed, engine, results, found))
    if expect_finding:
        return 0 if verdict == "fail" else 1
    return {"pass": 0, "fail": 1, "unknown": 3}[verdict]


@frozen
class DrawOptions:
    """What a hunt draws in addition to the usual programs."""

    huge: Huge | None
    faults: tuple[str, ...]


def _budget_text(seconds: float | None, cases: int | None) -> str:
    parts = [f"{seconds:g} s"] if seconds is not None else []
    if cases is not None:
        parts.append(f"{cases} cases")
    return "up to " + " or ".join(parts)


def _hunt(
    design: Chosen,
    engine: str,
    seed: int,
    budget: Budget,
    cpus: int,
    scenario: Scenario | None,
    variant: str,
    drawn: DrawOptions,
    output: Output,
) -> HuntResult:
    def listen(event: HuntEvent) -> None:
        match event:
            case CaseRun(statistics):
                output.progress(
                    f"{design.name}: {statistics.cases:,} cases, "
                    f"{statistics.steps_per_second:,} steps/s, "
                    f"{statistics.distinct_schedules:,} distinct schedules"
                )
            case Found(run, cases, seconds):
                # A hostile hunt goes on, and shrinks its findings at the end.
                then = "" if design.name == HOSTILE else "; shrinking …"
                output.line(
                    f"found {run.findings[0].check} after {counted(cases, 'case')} in "
                    f"{seconds:.1f} s{then}"
                )

    listeners = (listen,)
    if engine == HYPOTHESIS:
        return hunt_with_hypothesis(
            design.name, seed, budget, cpus, design.design, listeners, scenario, variant
        )
    chooser = ENGINES[engine]()
    return hunt(
        design.name,
        chooser,
        seed,
        budget,
        cpus,
        design.design,
        listeners,
        scenario,
        variant,
        drawn.huge,
        drawn.faults,
    )


def _report_statistics(design: Chosen, hunted: HuntResult, output: Output) -> None:
    statistics = hunted.statistics
    buckets = counted(len(hunted.findings), "bucket") if hunted.findings else "nothing"
    output.line(
        f"{design.name}: {buckets} found in {counted(statistics.cases, 'case')}, "
        f"{statistics.seconds:.1f} s"
    )
    output.line(
        f"  {statistics.steps:,} steps, {statistics.steps_per_second:,} per second; "
        f"{statistics.distinct_schedules:,} distinct schedules; {statistics.discarded} discarded"
    )
    output.line()
    rows = [
        (leaf, name, count)
        for leaf, by_status in statistics.table().items()
        for name, count in by_status.items()
    ]
    output.table(("leaf", "status", "calls"), rows)
    output.line()
    output.table(("witness", "cases"), list(statistics.witnesses().items()))
    if not statistics.busy:
        output.line("no SEAMCALL was refused as busy: the host's locks serialise calls that clash")
    for check in statistics.unseen():
        output.line(f"vacuous: {check} never had anything to check (`tdxfuzz list checks {check}`)")


def _verdict(results: list[tuple[Chosen, HuntResult]]) -> str:
    if any(hunted.found is not None for _, hunted in results):
        return "fail"
    if any(hunted.interrupted or hunted.statistics.unseen() for _, hunted in results):
        return "unknown"
    return "pass"


def _document(
    verdict: str,
    seed: int,
    engine: str,
    results: list[tuple[Chosen, HuntResult]],
    found: list[Saved],
) -> Mapping[str, object]:
    return {
        "verdict": verdict,
        "seed": seed,
        "engine": engine,
        "stats": _totals([hunted.statistics for _, hunted in results]),
        "designs": [
            {
                "design": design.name,
                "verdict": _verdict([(design, hunted)]),
                "interrupted": hunted.interrupted,
                "stats": _stats(hunted.statistics),
            }
            for design, hunted in results
        ],
        "findings": [finding_document(item) for item in found],
    }


def _totals(statistics: list[Statistics]) -> dict[str, object]:
    steps = sum(s.steps for s in statistics)
    seconds = sum(s.seconds for s in statistics)
    return {
        "cases": sum(s.cases for s in statistics),
        "steps": steps,
        "seconds": round(seconds, 3),
        "steps_per_second": round(steps / seconds) if seconds else 0,
        "discarded": sum(s.discarded for s in statistics),
        "distinct_schedules": sum(s.distinct_schedules for s in statistics),
    }


def _stats(statistics: Statistics) -> dict[str, object]:
    return {
        **_totals([statistics]),
        "calls": statistics.table(),
        "witnesses": statistics.witnesses(),
        "vacuous": statistics.unseen(),
    }
