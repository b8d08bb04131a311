"""``tdxfuzz replay``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click
from attrs import evolve

from tdxfuzz.campaign.folder import is_corpus_entry
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.cli.design_arg import Chosen, ChosenKvm, choose
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.exit_codes import BROKEN, FINDING, PASS, UNKNOWN, worse
from tdxfuzz.cli.library_text import replay_divergence
from tdxfuzz.cli.options import design_option, format_option, source_option
from tdxfuzz.cli.output import Output, print_error
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.kvm.under import under
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.read import read
from tdxfuzz.repro.replay import Replayed, ReplayResult, replay
from tdxfuzz.repro.reproducer import SUFFIX, Reproducer
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

    A divergence of `tdxfuzz diff` (*.jsonl) is FAILED if the model still differs from what the
    library did; with --library, if the library still differs from the model.

    The answer for each file is FAILED (the bug still shows), FIXED (no finding), CHANGED (a
    finding in another bucket), CUT-OFF (the run does not end) or ERROR (the file cannot be
    replayed, or the design raises or hangs). FIXED means that the
    recorded order shows no bug; hunt again, because other orders may.

    Exit codes: 0 all are FIXED; 1 one is FAILED or CHANGED; 2 one is ERROR; 3 one is CUT-OFF,
    and none is worse.
    """
    chosen = None if design_argument is None else choose(design_argument)
    output = Output(as_json)
    rows: list[dict[str, object]] = []
    worst = 0
    with ExitStack() as stack:
        target = None if library is None else stack.enter_context(Library(library))
        for path in _files(paths):
            if path.suffix == LINES:
                row, code = replay_divergence(path, target, output)
            else:
                row, code = _replay_one(path, (chosen, kvm), output, source)
            rows.append(row)
            worst = worse(worst, code)
    output.json({"results": rows})
    return worst


def _replay_one(
    path: Path, given: tuple[Chosen | None, ChosenKvm | None], output: Output, source: bool
) -> tuple[dict[str, object], int]:
    row: dict[str, object] = {"path": str(path)}
    try:
        reproducer = read(path)
        row |= {"check": reproducer.expect.check, "bucket": reproducer.expect.bucket}
        replayed = replay(reproducer, design_for(reproducer, *given, path).design, source)
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


def design_for(
    reproducer: Reproducer, chosen: Chosen | None, kvm: ChosenKvm | None, path: Path
) -> Chosen:
    """The design to run a reproducer under, and under which KVM.

    Raises:
        UsageProblem: the reproducer needs a design or a KVM that was not given.
    """
    name, plus, kvm_name = reproducer.case.design.partition("+")
    if kvm is None and (plus or reproducer.kvm_file is not None):
        user = reproducer.kvm_file
        where = f"FILE.py:{kvm_name}" if user is None else f"{user.file}:{user.class_name}"
        raise UsageProblem(f"{path}: kvm: this is a run under a user's KVM; add --kvm {where}")
    design = _design_for(reproducer, name, chosen, path)
    if kvm is None:
        return design
    layer = under(design.design or DESIGNS[design.name], kvm.kvm)
    return evolve(design, design=layer, kvm=kvm)


def _design_for(reproducer: Reproducer, name: str, chosen: Chosen | None, path: Path) -> Chosen:
    if chosen is not None and (reproducer.design_file is not None or chosen.file is not None):
        return chosen
    if reproducer.design_file is None and name in (*DESIGNS, HOSTILE):
        return Chosen(name, name)
    hint = f"{name} is not a built-in design (all: `tdxfuzz list designs`)"
    if reproducer.design_file is not None:
        user = reproducer.design_file
        hint = f"{name} is a user's design; add --design {user.file}:{user.class_name}"
    raise UsageProblem(f"{path}: design.name: {hint}")
