"""``tdxfuzz hunt``."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import click
from attrs import evolve

from tdxfuzz.abi import BY_NUMBER, status
from tdxfuzz.case.faults import KINDS, text_of
from tdxfuzz.case.world import MAX_CPUS
from tdxfuzz.cli.clock import Clock
from tdxfuzz.cli.design_arg import ChosenKvm, choose_all
from tdxfuzz.cli.duration import Duration
from tdxfuzz.cli.errors import unknown
from tdxfuzz.cli.huge_arg import HugeShare
from tdxfuzz.cli.hunt_workers import Counts, counts_of, hunt_with_workers
from tdxfuzz.cli.library_hostile import hunt_library, only_hostile
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
from tdxfuzz.cli.plan_problems import plan_problems
from tdxfuzz.cli.report import (
    error_document,
    finding_document,
    write_cut_off,
    write_design_error,
    write_finding,
)
from tdxfuzz.cli.scenario_arg import choose_scenario, set_up_problems
from tdxfuzz.cli.variant_arg import module_variant_option
from tdxfuzz.cli.workers import LostWorkerError
from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.events import CaseRun, Found, HuntEvent
from tdxfuzz.engines.hunt import HuntResult
from tdxfuzz.engines.not_tried import not_tried, vacuous
from tdxfuzz.engines.plan import DEFAULT_CPUS, HYPOTHESIS, Budget, HuntPlan
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.generate.huge_programs import Huge
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.repro.known import known_text
from tdxfuzz.repro.save import Saved
from tdxfuzz.repro.words import counted
from tdxfuzz.run.blame import DesignError
from tdxfuzz.testing.hypothesis_hunt import hunt_with_hypothesis

DEFAULT_SECONDS = 60.0


@click.command("hunt", epilog="Example: tdxfuzz hunt hint --time 30s")
@click.argument("designs", nargs=-1, metavar="[DESIGN|FILE.py:Class|FILE.c|hostile]...")
@click.option(
    "--engine",
    default="portfolio",
    show_default=True,
    help=f"What chooses programs and orders: {', '.join([*ENGINES, HYPOTHESIS])}.",
)
@click.option(
    "--time",
    "seconds",
    type=Duration(),
    help="Stop the whole command after this time: 60s, 2m, 1h. Several designs share it.",
)
@click.option("--cases", type=click.IntRange(min=1), help="Stop after this number of cases.")
@click.option(
    "--scenario",
    "scenario_name",
    metavar="NAME|FILE.toml",
    help="Run only this one (`tdxfuzz list scenarios`, docs/scenarios.md).",
)
@click.option(
    "--huge",
    type=HugeShare(),
    help="Share of the programs that have 2MB pages, 0 to 1; 0: none. A 2MB page is split into 4 "
    f"pages. few or real: all programs, and it is split into 4 or 512 [default: {Huge().share:g}].",
)
@click.option(
    "--faults",
    metavar="KIND[:LEAF][@N]",
    multiple=True,
    help=f"Inject one or two of these faults into each case; repeat for several. Kinds: "
    f"{', '.join(KINDS)}. With @N (refuse:MEM.RANGE.BLOCK@2) the N-th call fails in each case. "
    "busy and refuse are what-ifs, because the module never answers so without a reason.",
)
@click.option(
    "--cpus",
    type=click.IntRange(1, MAX_CPUS),
    help=f"Of each world [default: {DEFAULT_CPUS}, or those of the scenario].",
)
@check_option
@module_variant_option
@kvm_option
@click.option(
    "--library",
    type=click.Path(path_type=Path, dir_okay=False),
    help="hostile only: on this shared library in place of the model (docs/targets.md). Options "
    "without an effect there are refused.",
)
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
@workers_option
@source_option
@c_options
@format_option
def hunt_command(
    designs: tuple[str, ...],
    engine: str,
    seconds: float | None,
    cases: int | None,
    scenario_name: str | None,
    huge: Huge | None,
    faults: tuple[str, ...],
    cpus: int | None,
    checks: tuple[str, ...],
    variant: str,
    kvm: ChosenKvm | None,
    library: Path | None,
    seed: int | None,
    out: Path,
    expect_finding: bool,
    workers: int,
    source: bool,
    as_json: bool,
) -> int:
    """Run random programs in many orders until a check fires or the time is over.

    Use it first for a new design: it finds most races in seconds. A hunt without a finding
    proves nothing; `tdxfuzz verify` tries all orders of small programs.

    DESIGN is a built-in design (`tdxfuzz list designs`), a class in your own file, or the
    kernel's own C (docs/c-code.md). The default is all built-in designs, one after the other.
    The first finding of a design is shrunk, shown as a trace in columns, and written as a
    reproducer file.

    `hostile` has no host layer: every CPU makes raw SEAMCALLs. That hunt does not end at the
    first finding. It ends with the time, and writes one reproducer for each bucket.

    The default time is 60s for each design. With --seed and --cases the result is the same in
    each run, for any number of --workers. (The engine hypothesis has one.)

    Exit codes: 0 no finding; 1 a finding; 2 wrong usage, or a design that raised, hangs or keeps
    state outside of cells; 3 unknown: interrupted, a run did not end, or a check was vacuous (the
    last lines say which). With --scenario a hunt is vacuous only if no two CPUs ever were in get or
    put for one range at the same time, or if none of the checks of --check met what it looks for.
    """
    if engine not in (*ENGINES, HYPOTHESIS):
        raise unknown("engine", engine, (*ENGINES, HYPOTHESIS))
    scenario = None if scenario_name is None else choose_scenario(scenario_name)
    probe(out)
    clock = Clock(seconds)
    if seconds is None and cases is None:
        seconds = DEFAULT_SECONDS
    if seed is None:
        seed = secrets.randbelow(1 << 32)
    if library is not None:
        only_hostile(click.get_current_context(), designs)
        return hunt_library(library, seed, cases, seconds, out, expect_finding, Output(as_json))
    chosen = choose_all(designs or DESIGNS, hostile=True, kvm=kvm)
    with plan_problems():
        plans = [
            HuntPlan(
                design.name,
                Budget(seconds=seconds, cases=cases),
                design=design.design,
                engine=engine,
                seed=seed,
                cpus=cpus,
                scenario=scenario,
                huge=huge,
                faults=faults,
                variant=variant,
                checks=checks,
            )
            for design in chosen
        ]
    output = Output(as_json)
    results: list[tuple[HuntPlan, HuntResult]] = []
    found: list[Saved] = []
    cut_off: list[Path] = []
    lost: LostWorkerError | None = None
    for number, (design, plan) in enumerate(zip(chosen, plans, strict=True)):
        share = clock.share(len(plans) - number)
        if share is not None and len(plans) > 1:
            share = round(share, 2)
            plan = evolve(plan, budget=Budget(seconds=share, cases=cases))
        output.line(
            f"hunting {design.name}: engine {engine}, {counted(plan.world_cpus, 'CPU')}, "
            f"seed {seed}, {plan.budget}"
        )
        try:
            with set_up_problems(() if scenario is None else (scenario,)):
                result, lost = _hunt(plan, workers, output)
        except DesignError as error:
            saved = write_design_error(error, design, out, output)
            output.json(error_document(error, saved))
            raise
        results.append((plan, result))
        for first in result.findings.values():
            found.append(write_finding(first.run, design, out, output, source))
        for run in result.cut_off.values():
            cut_off.append(write_cut_off(run, design, out, output).path)
        if not result.findings or plan.is_hostile:
            _report_statistics(plan, result, output)
        if lost is not None:
            break
        if result.interrupted:
            output.line("interrupted")
            break
    output.line(f"seed {seed}")
    verdict = _verdict(results)
    document = _document(verdict, results, found, cut_off, workers)
    if lost is not None:
        output.json({**document, "verdict": "error", "error": str(lost)})
        raise lost
    output.json(document)
    if expect_finding:
        return 0 if verdict == "fail" else 1
    return {"pass": 0, "fail": 1, "unknown": 3}[verdict]


def _hunt(
    plan: HuntPlan, workers: int, output: Output
) -> tuple[HuntResult, LostWorkerError | None]:
    def show(counts: Counts, seconds: float) -> None:
        cases, steps, schedules = counts
        rate = round(steps / seconds) if seconds else 0
        output.progress(
            f"{plan.design_name}: {cases:,} cases, {rate:,} steps/s, "
            f"{schedules:,} distinct schedules"
        )

    def listen(event: HuntEvent) -> None:
        match event:
            case CaseRun(statistics):
                show(counts_of(statistics), statistics.seconds)
            case Found(run, cases, seconds):
                # A hostile hunt goes on, and shrinks its findings at the end.
                then = "" if plan.is_hostile else "; shrinking …"
                output.line(
                    f"found {run.findings[0].check} after {counted(cases, 'case')} in "
                    f"{seconds:.1f} s{then}"
                )

    if plan.engine == HYPOTHESIS:
        return hunt_with_hypothesis(plan, (listen,)), None
    return hunt_with_workers(plan, (listen,), workers, show)


def _report_statistics(plan: HuntPlan, result: HuntResult, output: Output) -> None:
    statistics = result.statistics
    buckets = counted(len(result.findings), "bucket") if result.findings else "nothing"
    output.line(
        f"{plan.design_name}: {buckets} found in {counted(statistics.cases, 'case')}, "
        f"{statistics.seconds:.1f} s"
    )
    if plan.checks:
        output.line(f"  only these checks listened: {', '.join(plan.checks)}")
    output.line(f"  not tried: {'; '.join(not_tried(plan, statistics))}")
    output.line(
        f"  {statistics.steps:,} steps, {statistics.steps_per_second:,} per second; "
        f"{statistics.distinct_schedules:,} distinct schedules; {statistics.discarded} cut off"
    )
    output.line()
    rows = [
        (BY_NUMBER[leaf].name, status(code << 32).name, f"0x{code:08x}", count)
        for (leaf, code), count in sorted(statistics.calls.items())
    ]
    output.table(("leaf", "status", "code", "calls"), rows)
    output.line()
    impossible = statistics.impossible(plan.is_hostile)
    output.table(
        ("witness", "cases"),
        [row for row in statistics.witnesses().items() if row[0] not in impossible],
    )
    if not statistics.busy:
        output.line("no SEAMCALL was refused as busy: the host's locks serialise calls that clash")
    unmet = _unmet(plan, statistics)
    if unmet:
        output.line(f"not met: {', '.join(unmet)}: no case made so many calls")
    for reason in vacuous(plan, statistics):
        output.line(f"vacuous: {reason}")
    # Again, at the end: the traces above are long.
    for first in result.findings.values():
        finding = first.run.finding
        if finding is not None:
            known = known_text(plan.design_name, finding.bucket)
            output.line(f"found {finding.bucket}{known and f' ({known})'}")


def _unmet(plan: HuntPlan, statistics: Statistics) -> list[str]:
    """The faults of each case of a plan whose occasion never came."""
    return [text_of(fault) for fault in plan.fixed_faults if fault not in statistics.faults_met]


def _verdict(results: Sequence[tuple[HuntPlan, HuntResult]]) -> str:
    if any(result.found is not None for _, result in results):
        return "fail"
    if any(_is_unknown(plan, result) for plan, result in results):
        return "unknown"
    return "pass"


def _is_unknown(plan: HuntPlan, result: HuntResult) -> bool:
    statistics = result.statistics
    shows_nothing = vacuous(plan, statistics) or _unmet(plan, statistics)
    return result.interrupted or bool(result.cut_off) or bool(shows_nothing)


def _document(
    verdict: str,
    results: Sequence[tuple[HuntPlan, HuntResult]],
    found: Sequence[Saved],
    cut_off: Sequence[Path],
    workers: int,
) -> dict[str, object]:
    first, _ = results[0]
    left_out = [not_tried(plan, result.statistics) for plan, result in results]
    return {
        "verdict": verdict,
        "seed": first.seed,
        "engine": first.engine,
        "workers": 1 if first.engine == HYPOTHESIS else workers,
        "not_tried": list(dict.fromkeys(chain.from_iterable(left_out))),
        "stats": _totals([result.statistics for _, result in results]),
        "designs": [
            {
                "design": plan.design_name,
                "verdict": _verdict([(plan, result)]),
                "interrupted": result.interrupted,
                "not_tried": missing,
                "not_met": _unmet(plan, result.statistics),
                "stats": _stats(result.statistics),
            }
            for (plan, result), missing in zip(results, left_out, strict=True)
        ],
        "findings": [finding_document(item) for item in found],
        "cut_off": [str(path) for path in cut_off],
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
