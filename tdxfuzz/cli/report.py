"""A finding from first sight to file: shrink, show, write."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from tdxfuzz.check.run import Run, run
from tdxfuzz.cli.design_arg import Chosen
from tdxfuzz.cli.output import Output
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.reproducer import Expect, Origin, Reproducer
from tdxfuzz.repro.write import file_name, write
from tdxfuzz.search.shrink import shrink


@frozen
class Found:
    """A shrunk finding, the run it came from, and where it was written."""

    design: str
    run: Run
    original: Run
    path: Path

    def as_json(self) -> dict[str, object]:
        """As commands report it."""
        finding = self.run.finding
        assert finding is not None
        return {
            "check": finding.check,
            "design": self.design,
            "bucket": finding.bucket,
            "message": finding.message,
            "reproducer": str(self.path),
            "operations": self.run.case.operations,
            "preemptions": self.run.preemptions,
            "original_operations": self.original.case.operations,
            "original_preemptions": self.original.preemptions,
        }


def write_finding(
    original: Run, design: Chosen, engine: str, seed: int, out: Path, output: Output
) -> Found:
    """Shrink a run that has a finding, print its trace, write its reproducer.

    Raises:
        OSError: the file cannot be written.
    """
    best = _shrink(original, design, output)
    traced = run(best.case, design.design, traced=True)
    assert traced.finding is not None
    assert traced.trace is not None
    reproducer = Reproducer(
        case=best.case,
        expect=Expect(traced.finding.bucket, traced.finding.message),
        origin=Origin(original.case.operations, original.preemptions, engine, seed),
        design_file=design.file,
    )
    path = out / file_name(reproducer, traced.trace.hash())
    write(reproducer, path)
    output.line(
        f"original: {original.case.operations} operations, {original.preemptions} preemptions; "
        f"shrunk: {best.case.operations} operations, {best.preemptions} preemptions"
    )
    output.line()
    output.block(columns(traced))
    output.line()
    output.line(f"bucket: {traced.finding.bucket}")
    output.line(f"reproducer: {path}")
    option = "" if design.file is None else f" --design {design.argument}"
    output.line(f"Reproduce with: tdxfuzz replay {path}{option}")
    return Found(design.name, traced, original, path)


def _shrink(original: Run, design: Chosen, output: Output) -> Run:
    """Shrink; a Ctrl-C on the way keeps what has been reached."""
    best = original

    def progress(smaller: Run, replays: int) -> None:
        nonlocal best
        best = smaller
        output.progress(
            f"shrinking: {smaller.case.operations} operations, {smaller.preemptions} "
            f"preemptions after {replays:,} replays"
        )

    try:
        return shrink(original, design.design, progress).run
    except KeyboardInterrupt:
        output.line("interrupted while shrinking; this is how far it got")
        return run(best.case.with_schedule(best.schedule), design.design)
