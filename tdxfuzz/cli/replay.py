"""``tdxfuzz replay``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from tdxfuzz.campaign.folder import is_corpus_entry
from tdxfuzz.cli.design_arg import ChosenKvm, choose
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.exit_codes import BROKEN, FINDING, PASS, UNKNOWN, worse
from tdxfuzz.cli.file_design import Given, design_for, replaced
from tdxfuzz.cli.options import design_option, format_option, source_option
from tdxfuzz.cli.output import Output, print_error
from tdxfuzz.cli.replay_library import replay_divergence
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.read import read
from tdxfuzz.repro.replay import Replayed, ReplayResult, replay
from tdxfuzz.repro.reproducer import SUFFIX
from tdxfuzz.sim import HarnessError
from tdxfuzz.targets.library.files import SUFFIX as LINES
from tdxfuzz.targets.library.process import Library

CODES = {
    ReplayResult.FIXED: PASS,
    ReplayResult.CUT_OFF: UNKNOWN,
    ReplayResult.FAILED: FINDING,
    ReplayResult.CHANGED: FINDING,
    ReplayResult.ERROR: BROKEN,
}

STYLES = {ReplayResult.FIXED: "green", ReplayResult.CUT_OFF: "yellow"}
"""How a terminal shows a result; red is for all others."""


@click.command("replay", epilog="Example: tdxfuzz replay corpus/regressions/")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@source_option
@design_option
@click.option(
    "--library",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Run divergences (*.jsonl) on this shared library, not beside what they recorded.",
)
@format_option
def replay_command(
    paths: tuple[Path, ...],
    source: bool,
    design_argument: str | None,
    kvm: ChosenKvm | None,
    library: Path | None,
    as_json: bool,
) -> int:
    """Run reproducer files again, and say whether their bug still shows.

    Use it after a fix, and in CI. PATHS are reproducers or folders of them; of the folder
    of a campaign the corpus is left out, because its cases expect nothing. The files are never
    changed. With --source the trace of each finding is printed too, with the lines of the
    design's code.

    A file runs under the design that it names. --design is for files of your own designs. With
    one FILE, --design takes the place of the file's design, whatever that is, and the answer
    says whose order it was. With a folder or several files it serves only the files that name
    it: a file of a built-in design runs under that, and a file of another design of yours is an
    ERROR. The same holds for --kvm.

    A divergence of `tdxfuzz diff` (*.jsonl) is FAILED if the model still differs from what the
    library did; with --library, if the library still differs from the model. What is about the
    library alone (reset, repeat, and findings of `hunt hostile --library`) needs --library.

    The answer for each file is FAILED (the bug still shows), FIXED (no finding), CHANGED (a
    finding in another bucket), CUT-OFF (the run does not end) or ERROR (the file cannot be
    replayed, or the design raises or hangs). FIXED means that the
    recorded order shows no bug; hunt again, because other orders may.

    Exit codes: 0 all are FIXED; 1 one is FAILED or CHANGED; 2 one is ERROR; 3 one is CUT-OFF,
    and none is worse.
    """
    chosen = None if design_argument is None else choose(design_argument)
    given = Given(chosen, kvm, replaces=len(paths) == 1 and not paths[0].is_dir())
    output = Output(as_json)
    rows: list[dict[str, object]] = []
    worst = 0
    with ExitStack() as stack:
        target = None if library is None else stack.enter_context(Library(library))
        for path in _files(paths):
            if path.suffix == LINES:
                row, code = replay_divergence(path, target, output)
            else:
                row, code = _replay_one(path, given, output, source)
            rows.append(row)
            worst = worse(worst, code)
    output.json({"results": rows})
    return worst


def _replay_one(
    path: Path, given: Given, output: Output, source: bool
) -> tuple[dict[str, object], int]:
    row: dict[str, object] = {"path": str(path)}
    try:
        reproducer = read(path)
        row |= {"check": reproducer.expect.check, "bucket": reproducer.expect.bucket}
        chosen = design_for(reproducer, given, path)
        replayed = replay(reproducer, chosen.design, source)
    except (ReproducerError, UsageProblem, HarnessError) as error:
        print_error(str(error), getattr(error, "details", ""))
        row |= {"result": ReplayResult.ERROR.value, "error": str(error)}
        output.line(f"{ReplayResult.ERROR.value:8} {path}", style="magenta")
        return row, BROKEN
    row |= {"result": replayed.result.value, "trace_hash": replayed.trace_hash}
    shown = _shown(replayed)
    if replayed.result is ReplayResult.CHANGED:
        row["shown"] = shown
    style = STYLES.get(replayed.result, "red")
    output.line(f"{replayed.result.value:8} {path}  {shown}", style=style)
    instead = replaced(reproducer, chosen)
    if instead is not None:
        row |= {"order_of": instead.order_of, "under": instead.under}
        output.line(f"         {instead}")
    output.line(f"         trace {replayed.trace_hash}")
    if source and replayed.run.finding is not None:
        output.line()
        output.block(columns(replayed.run, source=True))
        output.line()
    return row, CODES[replayed.result]


def _shown(replayed: Replayed) -> str:
    shown = replayed.run.shown
    return "" if shown is None else shown.bucket


def _files(paths: tuple[Path, ...]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file
                for file in path.rglob("*")
                if file.name.endswith((SUFFIX, LINES)) and not is_corpus_entry(file)
            )
            if not inside:
                raise UsageProblem(
                    f"{path}: no reproducers (*{SUFFIX}) in this folder; `tdxfuzz hunt` writes them"
                )
            files += inside
        else:
            files.append(path)
    return files
