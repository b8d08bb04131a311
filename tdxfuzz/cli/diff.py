"""``tdxfuzz diff``."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import click

from tdxfuzz.abi import BY_NUMBER
from tdxfuzz.cli.divergence_folder import DivergenceFolder
from tdxfuzz.cli.duration import Duration
from tdxfuzz.cli.exit_codes import BROKEN, FINDING, PASS, UNKNOWN
from tdxfuzz.cli.library_text import (
    advice,
    divergence_text,
    library_option,
    not_compared,
    trial_text,
)
from tdxfuzz.cli.options import format_option
from tdxfuzz.cli.out_folder import keep, probe
from tdxfuzz.cli.output import Output, print_error
from tdxfuzz.module.leaves import HANDLERS
from tdxfuzz.repro.words import counted
from tdxfuzz.targets.library.diff import MOST, Diff, Found
from tdxfuzz.targets.library.errors import LibraryError
from tdxfuzz.targets.library.files import to_json
from tdxfuzz.targets.library.known import Known, as_known, read_known
from tdxfuzz.targets.library.process import Library
from tdxfuzz.targets.library.tally import Tally

DEFAULT_SECONDS = 60.0


@click.command("diff", epilog="Example: tdxfuzz diff --library ./module.so --time 5m")
@library_option
@click.option("--cases", type=click.IntRange(min=1), help="Stop after this number of sequences.")
@click.option("--time", "seconds", type=Duration(), help="Stop after this time: 60s, 2m, 1h.")
@click.option("--seed", type=click.IntRange(min=0), help="Random seed [default: random].")
@click.option(
    "--ignore",
    "known_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of divergences that you know of, each with a reason (docs/targets.md).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("divergences"),
    show_default=True,
    help="Folder for the files of divergences.",
)
@format_option
def diff_command(
    library: Path,
    cases: int | None,
    seconds: float | None,
    seed: int | None,
    known_file: Path | None,
    out: Path,
    as_json: bool,
) -> int:
    """Compare a module in a shared library with the model, call by call.

    Use it for each new build of a module. The library implements tdxfuzz_target.h
    (docs/targets.md). Sequences of SEAMCALLs are drawn at random: a boot from reset, then calls
    whose operands fit, nearly fit, or are garbage. Both sides run them. Status and all registers
    are compared after each call, the state in between. If the library has the hook, some sequences
    end with programs on 2 to 4 LPs, and each event of a lock is compared. If it has guests, some
    vCPUs run a script, and what they are told is compared.

    Each divergence is shrunk and written as a file, once; files of earlier runs stay. `tdxfuzz
    show FILE` shows it, `tdxfuzz replay FILE` runs it on the model, `tdxfuzz replay FILE --library
    PATH` on the library. The library runs in a process of its own: a crash or a hang is a
    divergence too.

    The default time is 60s. With --seed and --cases the result is the same in each run.

    Exit codes: 0 no divergence; 1 a divergence; 2 wrong usage, or a library that cannot be used;
    3 interrupted, nothing was compared, or most sequences ended at a known divergence.
    """
    probe(out)
    if seconds is None and cases is None:
        seconds = DEFAULT_SECONDS
    if seed is None:
        seed = secrets.randbelow(1 << 32)
    known = Known() if known_file is None else read_known(known_file)
    output = Output(as_json)
    folder = DivergenceFolder(out)
    rows: list[dict[str, object]] = []
    with Library(library) as target:
        output.line(f"comparing {library.name} ({target.caps.version}) with the model, seed {seed}")
        diff = Diff(target, known, seed)

        def told(found: Found) -> None:
            rows.append(_report(found, diff.tally, folder, output))

        def progress(tally: Tally) -> None:
            output.progress(f"{tally.calls:,} calls, {counted(len(rows), 'divergence')}")

        interrupted, broken = False, ""
        try:
            diff.run(cases, seconds, told, progress)
        except KeyboardInterrupt:
            interrupted = True
        except LibraryError as error:  # what was found before is told all the same
            broken = str(error)
        left_out = not_compared(target.caps, _missing(target), target.parts)
        verdict = "error" if broken else _verdict(rows, diff.tally, interrupted)
        _close(diff, verdict, interrupted, left_out, folder, output)
    document = _document(verdict, seed, target, diff, rows, left_out, folder)
    output.json({**document, "error": broken} if broken else document)
    if broken:
        print_error(broken)
    return {"pass": PASS, "fail": FINDING, "unknown": UNKNOWN, "error": BROKEN}[verdict]


def _missing(library: Library) -> list[str]:
    """Leaves of the model that the library lacks."""
    return [BY_NUMBER[n].name for n in sorted(HANDLERS) if n not in library.caps.leaves]


def _verdict(rows: list[dict[str, object]], tally: Tally, interrupted: bool) -> str:
    if rows:
        return "fail"
    # With most of them cut short, little was compared.
    is_little = 2 * tally.compared < tally.calls or 2 * tally.hidden > tally.trials
    is_little |= not tally.compared
    return "unknown" if interrupted or is_little else "pass"


def _report(
    found: Found, tally: Tally, folder: DivergenceFolder, output: Output
) -> dict[str, object]:
    """Show a divergence, and write it."""
    divergence = found.divergence
    path = folder.path_of(divergence, f"{divergence.leaf} {divergence.field}")
    head, *sides = divergence_text(divergence).splitlines()
    output.line(head, style="red")
    for side in sides:
        output.line(side)
    output.block(trial_text(found.trial, found.library, divergence.leaf, found.before))
    for line in advice(divergence.field, found.left):
        output.line(f"  {line}")
    text = to_json(path.stem, divergence, found.trial, found.library, found.before)
    is_written = keep(text, path, output)
    again = "" if folder.is_new(path) else ", which an earlier run had written too"
    output.line(f"  seen after {tally.calls:,} calls, {found.seconds:.1f} s; {path}{again}")
    return {
        "reproducer": str(path) if is_written else None,
        **({} if is_written else {"reproducer_text": text}),
        "new": folder.is_new(path),
        "leaf": divergence.leaf,
        "field": divergence.field,
        "model": divergence.model,
        "library": divergence.library,
        **({"variables": list(found.left)} if found.left else {}),
        "calls": found.trial.size,
        "seconds": round(found.seconds, 3),
    }


def _close(
    diff: Diff,
    verdict: str,
    interrupted: bool,
    left_out: list[str],
    folder: DivergenceFolder,
    output: Output,
) -> None:
    tally = diff.tally
    output.line()
    rows = [(leaf, name, count) for (leaf, name), count in sorted(tally.statuses.items())]
    output.table(("leaf", "status on both sides", "calls"), rows)
    output.line()
    for entry, met in tally.met.items():
        sequences = counted(met, "sequence")
        output.line(f"known: {entry.leaf} {entry.field} in {sequences} ({entry.reason})")
    for entry in diff.known.entries:
        if entry not in tally.met:
            output.line(f"known, but not met: {entry.leaf} {entry.field} ({entry.reason})")
    if diff.found:
        output.line("To go on without these, put them into a file for --ignore, with reasons:")
        output.block("".join(f"{as_known(found.divergence)}\n" for found in diff.found))
    for line in folder.told():
        output.line(line)
    if len(diff.found) >= MOST:
        output.line(f"ended at {MOST} divergences; mend some, or --ignore them, and run it again")
    if tally.hidden:
        output.line(
            f"{tally.hidden:,} of {counted(tally.trials, 'sequence')} ended at a divergence that "
            "is known or was shown before"
        )
    if tally.compared < tally.calls:
        behind = counted(tally.calls - tally.compared, "call")
        output.line(f"not compared: {behind} behind a divergence in their sequence")
    times = _times(tally)
    output.line(
        f"  {times['sequential_calls_per_second']:,} calls/s sequential, "
        f"{times['interleaved_calls_per_second']:,} interleaved "
        f"({tally.events:,} events); guests were told {tally.told:,} times; "
        f"model {times['model_share']} % of the time, "
        f"library {times['library_share']} %"
    )
    output.line(f"not compared: {'; '.join(left_out)}")
    if interrupted:
        output.line("interrupted")
    word = {"pass": "no divergence", "fail": counted(len(diff.found), "divergence")}
    if diff.found and verdict != "fail":
        verdict = f"{verdict}, {word['fail']}"
    style = {"pass": "green", "fail": "red"}.get(verdict, "yellow")
    output.line(
        f"{verdict}: {word.get(verdict, 'too little was compared')}; compared "
        f"{tally.compared:,} of {counted(tally.calls, 'call')} in "
        f"{counted(tally.trials, 'sequence')}, {tally.interleaved:,} of them interleaved, "
        f"{tally.seconds:.1f} s",
        style=style,
    )


def _times(tally: Tally) -> dict[str, int]:
    both = tally.model_seconds + tally.library_seconds
    sequential = both - tally.interleaved_seconds
    calls = tally.calls - tally.interleaved_calls
    share = tally.seconds or 1.0
    return {
        "sequential_calls_per_second": round(calls / sequential) if sequential else 0,
        "interleaved_calls_per_second": (
            round(tally.interleaved_calls / tally.interleaved_seconds)
            if tally.interleaved_seconds
            else 0
        ),
        "model_share": round(100 * tally.model_seconds / share),
        "library_share": round(100 * tally.library_seconds / share),
    }


def _document(
    verdict: str,
    seed: int,
    target: Library,
    diff: Diff,
    rows: list[dict[str, object]],
    left_out: list[str],
    folder: DivergenceFolder,
) -> Mapping[str, object]:
    tally = diff.tally
    statuses: dict[str, dict[str, int]] = {}
    for (leaf, name), count in sorted(tally.statuses.items()):
        statuses.setdefault(leaf, {})[name] = count
    return {
        "verdict": verdict,
        "calls": tally.calls,
        "compared": tally.compared,
        "divergences": rows,
        "library": target.caps.version,
        "seed": seed,
        "sequences": tally.trials,
        "interleaved": tally.interleaved,
        "events": tally.events,
        "told": tally.told,
        "hidden": tally.hidden,
        "seconds": round(tally.seconds, 3),
        **_times(tally),
        "statuses": statuses,
        "not_compared": left_out,
        "not_seen": [str(path) for path in folder.not_seen],
        "known": [
            {"leaf": entry.leaf, "field": entry.field, "reason": entry.reason, "times": times}
            for entry, times in tally.met.items()
        ],
    }
