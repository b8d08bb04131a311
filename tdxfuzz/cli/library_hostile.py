"""``hunt hostile --library`` and ``verify hostile --library``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from tdxfuzz.case.hostile import SETUPS
from tdxfuzz.cli.clock import Clock
from tdxfuzz.cli.divergence_folder import DivergenceFolder
from tdxfuzz.cli.errors import UsageProblem, unknown
from tdxfuzz.cli.exit_codes import BROKEN, FINDING, PASS, UNKNOWN
from tdxfuzz.cli.library_text import divergence_text, trial_text
from tdxfuzz.cli.out_folder import keep
from tdxfuzz.cli.output import Output, print_error
from tdxfuzz.cli.verify_job import OUT_OF_TIME
from tdxfuzz.repro.words import counted
from tdxfuzz.targets.library.diff import Found
from tdxfuzz.targets.library.errors import LibraryError
from tdxfuzz.targets.library.files import to_json
from tdxfuzz.targets.library.hostile import LibraryHunter, possible_setups
from tdxfuzz.targets.library.judge import CHECKS
from tdxfuzz.targets.library.process import Library

Json = dict[str, object]


COUNTING = {
    "hunt": {"library", "seconds", "cases", "seed", "out", "expect_finding", "as_json"},
    "verify": {"library", "seconds", "names", "cpus", "out", "as_json"},
}
"""By command, the options that have an effect with ``--library``, by their names in the code."""


def only_hostile(context: click.Context, designs: Sequence[str]) -> None:
    """A library takes the place of the module, and there is no host layer.

    Raises:
        UsageProblem: another design is named, or an option is given that would have no effect.
    """
    if list(designs) != ["hostile"]:
        raise UsageProblem("--library takes raw SEAMCALLs only: name the design hostile")
    counting = COUNTING[context.command.name or ""]
    for option in context.command.params:
        if isinstance(option, click.Argument) or option.name in counting:
            continue
        source = context.get_parameter_source(option.name or "")
        if source is ParameterSource.COMMANDLINE:
            raise UsageProblem(f"{option.opts[0]} has no effect with --library; leave it out")


def hunt_library(
    path: Path,
    seed: int,
    cases: int | None,
    seconds: float | None,
    out: Path,
    expect_finding: bool,
    output: Output,
) -> int:
    """Random programs in random orders; the exit code."""
    rows: list[Json] = []
    folder = DivergenceFolder(out)
    interrupted, broken = False, ""
    with Library(path) as library:
        hunter = LibraryHunter(library)
        output.line(f"hunting hostile on {path.name} ({library.caps.version}), seed {seed}")

        def told(found: Found) -> None:
            rows.append(_report(found, folder, output))

        try:
            hunter.hunt(seed, cases, seconds, told)
        except KeyboardInterrupt:
            interrupted = True
            output.line("interrupted")
        except LibraryError as error:  # what was found before is told all the same
            broken = str(error)
    tally = hunter.tally
    why = "interrupted" if interrupted else tally.too_little_of_a_hunt()
    verdict = "fail" if rows else "unknown" if why else "pass"
    if broken:
        verdict = "error"
    output.line(
        f"hostile on {path.name}: {counted(len(rows), 'bucket')} in "
        f"{counted(tally.cases, 'case')}, {tally.runs:,} orders, {tally.events:,} events, "
        f"{tally.seconds:.1f} s"
    )
    for line in folder.told():
        output.line(line)
    output.line(f"  checks: {', '.join(CHECKS[:-1])}; not checked: {CHECKS[-1]}, what calls answer")
    if verdict == "unknown":
        output.line(f"unknown: {why}", style="yellow")
    output.json(
        {
            "verdict": verdict,
            "why": why if verdict == "unknown" else "",
            "seed": seed,
            "library": library.caps.version,
            "stats": {
                "cases": tally.cases,
                "runs": tally.runs,
                "met": tally.met,
                "events": tally.events,
            },
            "findings": rows,
            **({"error": broken} if broken else {}),
        }
    )
    if broken:
        print_error(broken)
    if expect_finding and not broken:
        return PASS if verdict == "fail" else FINDING
    return _code(verdict)


def verify_library(
    path: Path,
    names: Sequence[str],
    lps: int,
    seconds: float | None,
    out: Path,
    output: Output,
) -> int:
    """Pairs of calls in all orders of few switches, set-up by set-up; the exit code."""
    for name in names:
        if name not in SETUPS:
            raise unknown("set-up", name, SETUPS)
    if lps > 3:
        raise UsageProblem("hostile combines two or 3 calls, one on each CPU; use --cpus 2 or 3")
    results: list[Json] = []
    rows: list[Json] = []
    folder = DivergenceFolder(out)
    broken = ""
    clock = Clock(seconds)
    with Library(path) as library:
        possible = list(possible_setups(library))

        def told(found: Found) -> None:
            rows.append(_report(found, folder, output))

        wanted = [name for name in names or SETUPS if name in possible]
        for number, name in enumerate(wanted):
            hunter = LibraryHunter(library)
            before = len(rows)
            try:
                whole = hunter.sweep(name, lps, clock.share(len(wanted) - number), told)
            except LibraryError as error:
                whole, broken = False, str(error)
            found = rows[before:]
            tally = hunter.tally
            why = tally.too_little_of_a_sweep() if whole else broken or OUT_OF_TIME
            verdict = "fail" if found else "unknown" if why else "pass"
            why = why if verdict == "unknown" else ""
            output.line(
                f"hostile {name} on {path.name}: {verdict}{f' ({why})' if why else ''}: "
                f"{counted(tally.cases, 'case')}, {tally.runs:,} orders, {tally.seconds:.1f} s"
            )
            results.append(
                {
                    "design": "hostile",
                    "scenario": name,
                    "verdict": verdict,
                    "why": why,
                    "cases": tally.cases,
                    "met": tally.met,
                    "runs": tally.runs,
                    "findings": found,
                }
            )
            if broken:
                break
        left_out = [name for name in names or SETUPS if name not in possible]
    for line in folder.told():
        output.line(line)
    if left_out:
        output.line(f"not run, because the library lacks leaves: {', '.join(left_out)}")
    verdicts = {str(result["verdict"]) for result in results}
    verdict = next((each for each in ("fail", "unknown") if each in verdicts), "pass")
    verdict = "error" if broken else verdict if results else "unknown"
    document: Json = {"verdict": verdict, "results": results, "not_run": left_out}
    output.json({**document, "error": broken} if broken else document)
    if broken:
        print_error(broken)
    return _code(verdict)


def _code(verdict: str) -> int:
    return {"pass": PASS, "fail": FINDING, "unknown": UNKNOWN, "error": BROKEN}[verdict]


def _report(found: Found, folder: DivergenceFolder, output: Output) -> Json:
    finding = found.divergence
    path = folder.path_of(finding, f"{finding.field} {finding.leaf}")
    output.line(divergence_text(finding).rstrip(), style="red")
    output.block(trial_text(found.trial, found.library, finding.leaf))
    text = to_json(path.stem, finding, found.trial, found.library)
    is_written = keep(text, path, output)
    again = "" if folder.is_new(path) else ", which an earlier run had written too"
    output.line(f"  found after {found.seconds:.1f} s; {path}{again}")
    return {
        "reproducer": str(path) if is_written else None,
        **({} if is_written else {"reproducer_text": text}),
        "new": folder.is_new(path),
        "check": finding.field,
        "leaf": finding.leaf,
        "message": finding.library,
        "calls": found.trial.size,
        "seconds": round(found.seconds, 3),
    }
