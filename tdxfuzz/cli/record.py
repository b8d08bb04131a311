"""``tdxfuzz record``."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import click

from tdxfuzz.cli.ctrl_c import noted
from tdxfuzz.cli.exit_codes import FINDING, PASS, UNKNOWN
from tdxfuzz.cli.library_text import library_option
from tdxfuzz.cli.options import format_option
from tdxfuzz.cli.output import Output
from tdxfuzz.repro.words import counted
from tdxfuzz.targets.library.process import Library
from tdxfuzz.targets.library.record import KINDS, record


@click.command(
    "record", epilog="Example: tdxfuzz record --library ./module.so --out module-1.jsonl.gz"
)
@library_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write: *.jsonl, or *.jsonl.gz.",
)
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default=KINDS[0],
    show_default=True,
    help="sequential: statuses, registers, final states. locks: each lock event of a call. "
    "interleaved: several LPs, and the order of their events.",
)
@click.option(
    "--cases", type=click.IntRange(min=1), default=100, show_default=True, help="Traces to write."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
@format_option
def record_command(
    library: Path, out: Path, kind: str, cases: int, seed: int, as_json: bool
) -> int:
    """Record what a module in a shared library does, in the format of corpus/conformance.

    Use it to pin a version of a module. The calls depend on the seed and on the leaves that the
    library has, not on what it answers. So `tdxfuzz conform NEW --against OLD` says what changed
    between two versions, and `tdxfuzz conform FILE` compares a recording with the model.

    Exit codes: 0 all was recorded; 1 the library crashed or hangs in some traces, which are left
    out; 2 wrong usage, or a library that cannot be used; 3 interrupted: what was recorded until
    then is in the file.
    """
    output = Output(as_json)
    written = calls = 0
    lost: list[str] = []
    open_file = gzip.open if out.suffix == ".gz" else open
    with (
        Library(library) as target,
        open_file(out, "wt", encoding="utf-8") as file,
        noted() as stop,
    ):
        version = target.caps.version
        for recorded in record(target, kind, cases, seed):
            calls += recorded.calls
            if recorded.line is None:
                lost.append(recorded.why)
                output.line(f"left out: {recorded.why}", style="red")
            else:
                file.write(json.dumps(recorded.line) + "\n")
                written += 1
                output.progress(f"{written} traces")
            if stop():
                break
    interrupted = written + len(lost) < cases
    output.line(
        f"{out}: {counted(written, 'trace')} of kind {kind} of {version}, {calls:,} calls, "
        f"seed {seed}"
    )
    if interrupted:
        output.line("interrupted")
    output.json(
        {
            "file": str(out),
            "kind": kind,
            "library": version,
            "seed": seed,
            "traces": written,
            "calls": calls,
            "left_out": lost,
            "interrupted": interrupted,
        }
    )
    return FINDING if lost else UNKNOWN if interrupted else PASS
