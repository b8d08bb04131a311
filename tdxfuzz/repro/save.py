"""Save a shrunk run as a reproducer file."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from tdxfuzz.repro.reproducer import DesignFile, Expect, Reproducer
from tdxfuzz.repro.write import file_name, write
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, run


@frozen
class Saved:
    """The traced run, the run before shrinking, and the path of the reproducer."""

    run: Run
    original: Run
    path: Path


def save(
    best: Run,
    original: Run,
    out: Path,
    design: Design = None,
    design_file: DesignFile | None = None,
    sources: bool = False,
) -> Saved:
    """Write the reproducer of a run that has a finding.

    Args:
        best: the run, usually shrunk.
        original: the run as it was found.
        out: the folder. The name of the file follows from the case.
        design: the class of the case's design, if it is not built in.
        design_file: the file of that class.
        sources: the trace of the saved run names lines of that file.

    Raises:
        OSError: the file cannot be written.
    """
    traced = run(best.case, design, traced=True, sources=sources)
    assert traced.finding is not None
    assert traced.trace is not None
    reproducer = Reproducer(
        case=best.case,
        expect=Expect(traced.finding.bucket, traced.finding.message, best.case.checks),
        design_file=design_file,
    )
    path = out / file_name(reproducer, traced.trace.hash())
    write(reproducer, path)
    return Saved(traced, original, path)
