"""From a shrunk run to a file that shows it."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from tdxfuzz.repro.reproducer import DesignFile, Expect, Origin, Reproducer
from tdxfuzz.repro.write import file_name, write
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, run


@frozen
class Saved:
    """The traced run, the run it was shrunk from, and where the reproducer is."""

    run: Run
    original: Run
    path: Path


def save(
    best: Run,
    original: Run,
    out: Path,
    engine: str,
    seed: int = 0,
    design: Design = None,
    design_file: DesignFile | None = None,
) -> Saved:
    """Write the reproducer of a run that has a finding.

    Args:
        best: the run, usually shrunk.
        original: the run as it was found.
        out: the folder; the file's name follows from the case.
        engine: what found it.
        seed: of the engine.
        design: the class behind the case's design, if not built in.
        design_file: where that class is from.

    Raises:
        OSError: the file cannot be written.
    """
    traced = run(best.case, design, traced=True)
    assert traced.finding is not None
    assert traced.trace is not None
    reproducer = Reproducer(
        case=best.case,
        expect=Expect(traced.finding.bucket, traced.finding.message, best.case.checks),
        origin=Origin(original.case.operations, original.preemptions, engine, seed),
        design_file=design_file,
    )
    path = out / file_name(reproducer, traced.trace.hash())
    write(reproducer, path)
    return Saved(traced, original, path)
