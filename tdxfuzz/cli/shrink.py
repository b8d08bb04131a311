"""``tdxfuzz shrink``."""

from __future__ import annotations

from pathlib import Path

import click
from attrs import evolve

from tdxfuzz.cli.design_arg import ChosenKvm, choose
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.exit_codes import BROKEN, PASS
from tdxfuzz.cli.file_design import Given, design_for, replaced
from tdxfuzz.cli.options import design_option, format_option
from tdxfuzz.cli.out_folder import keep, probe
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import STOPPED_EARLY, size_text
from tdxfuzz.repro.read import read
from tdxfuzz.repro.reproducer import SUFFIX, Expect
from tdxfuzz.repro.words import counted
from tdxfuzz.repro.write import to_toml
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.shrink.shrink import shrink


@click.command("shrink", epilog="Example: tdxfuzz shrink bug.tdx.toml")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write [default: NAME.shrunk.tdx.toml]."
)
@design_option
@format_option
def shrink_command(
    path: Path,
    out: Path | None,
    design_argument: str | None,
    kvm: ChosenKvm | None,
    as_json: bool,
) -> int:
    """Make a reproducer smaller: fewer CPUs, operations and preemptions, a simpler world.

    Use it for a reproducer that was written by hand or by an older version; hunt and verify
    shrink their findings themselves. The bucket stays the same. The result is a new file;
    the old one is not changed.

    Exit codes: 0 written; 2 the reproducer does not show its bug any more.
    """
    reproducer = read(path)
    chosen = None if design_argument is None else choose(design_argument)
    taken = design_for(reproducer, Given(chosen, kvm), path)
    design = taken.design
    found = run(reproducer.case, design)
    if found.finding is None or not found.finding.is_in(reproducer.expect.bucket):
        shown = "nothing" if found.finding is None else found.finding.bucket
        raise UsageProblem(
            f"{path}: expect.bucket: a replay shows {shown}, not {reproducer.expect.bucket}, so "
            "there is nothing to shrink; see `tdxfuzz replay`"
        )
    output = Output(as_json)
    instead = replaced(reproducer, taken)
    if instead is not None:
        output.line(f"{instead}; the new file names {instead.order_of} as the old one does")
    target = out or path.with_name(path.name.removesuffix(SUFFIX) + f".shrunk{SUFFIX}")
    probe(target.parent)

    def progress(smaller: Run, replays: int) -> None:
        output.progress(f"{size_text(smaller)} after {counted(replays, 'replay')}")

    result = shrink(found, design, progress)
    best = result.run
    assert best.finding is not None
    text = to_toml(
        evolve(
            reproducer,
            case=best.case,
            expect=Expect(best.finding.bucket, best.finding.message),
            origin=None,
        )
    )
    output.line(
        f"original: {size_text(found)}; shrunk: {size_text(best)} "
        f"({counted(result.replays, 'replay')})"
    )
    if result.stopped_early:
        output.line(STOPPED_EARLY)
    is_written = keep(text, target, output)
    if is_written:
        output.line(f"reproducer: {target}")
    output.json(
        {
            "reproducer": str(target) if is_written else None,
            **({} if is_written else {"reproducer_text": text}),
            "bucket": best.finding.bucket,
            "operations": best.case.operations,
            "preemptions": best.preemptions,
            "original_operations": found.case.operations,
            "original_preemptions": found.preemptions,
            "replays": result.replays,
            "stopped_early": result.stopped_early,
        }
    )
    return PASS if is_written else BROKEN
