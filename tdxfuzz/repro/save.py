"""Make a shrunk run a reproducer, and save it as a file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from attrs import evolve, frozen

from tdxfuzz.host.design_file import digest_of, file_of_kvm
from tdxfuzz.repro.reproducer import DesignFile, Expect, Reproducer
from tdxfuzz.repro.write import file_name, to_toml, write_whole
from tdxfuzz.run.blame import CRASH, HANG, DesignError
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, run
from tdxfuzz.sim import Trace


@frozen
class Saved:
    """The traced run, the run before shrinking, and the reproducer: its path and its text.

    ``is_written``: the file is there.
    """

    run: Run
    original: Run
    path: Path
    text: str
    is_written: bool = False


def save(
    best: Run,
    original: Run,
    out: Path,
    design: Design = None,
    design_file: DesignFile | None = None,
    sources: bool = False,
) -> Saved:
    """Write the reproducer of a run; the arguments are those of :func:`prepare`.

    Raises:
        OSError: the file cannot be written.
    """
    saved = prepare(best, original, out, design, design_file, sources)
    write_whole(saved.text, saved.path)
    return evolve(saved, is_written=True)


def prepare(
    best: Run,
    original: Run,
    out: Path,
    design: Design = None,
    design_file: DesignFile | None = None,
    sources: bool = False,
) -> Saved:
    """The reproducer of a run that has a finding, was cut off, or ended in a design's error.

    Args:
        best: the run, usually shrunk.
        original: the run as it was found.
        out: the folder. The name of the file follows from the case.
        design: the class of the case's design, if it is not built in.
        design_file: the file of that class.
        sources: the trace of the saved run names lines of that file.
    """
    traced = _again(best, design, sources)
    shown = traced.shown
    assert shown is not None
    reproducer = Reproducer(
        case=best.case,
        expect=Expect(shown.bucket, shown.message, best.case.checks),
        design_file=design_file,
        kvm_file=kvm_file_of(design),
    )
    path = out / file_name(reproducer, _digest(traced, design_file))
    return Saved(traced, original, path, to_toml(reproducer))


def kvm_file_of(design: Design) -> DesignFile | None:
    """What a reproducer says of the KVM that a design runs under, if that is a user's."""
    kvm = None if design is None else design.kvm
    path = file_of_kvm(kvm)
    if kvm is None or path is None:
        return None
    return DesignFile(path.name, kvm.__name__, digest_of(path))


def _again(best: Run, design: Design, sources: bool) -> Run:
    """The run with its trace. What ended in a design's error stays that, though a design that is
    not deterministic may show something else. One that hung is not run, or it would hang again for
    long: not so in C.
    """
    finding = best.finding
    is_error = finding is not None and finding.check in (CRASH, HANG)
    is_slow = design is None or design.c_file is None
    hung = finding is not None and finding.check == HANG
    if hung and is_slow and best.trace is None:
        return evolve(best, trace=Trace())
    try:
        again = run(best.case, design, traced=True, sources=sources)
    except DesignError as error:
        if error.run is None:
            raise
        again = error.run if error.run.trace is not None else evolve(error.run, trace=Trace())
    return evolve(again, findings=best.findings) if is_error else again


def _digest(traced: Run, design_file: DesignFile | None) -> str:
    """What a file is named after: its trace, or what there is of a run that has none."""
    assert traced.trace is not None
    if len(traced.trace):
        return traced.trace.hash()
    told = f"{traced.case!r} {traced.shown!r} {design_file!r}"
    return hashlib.sha256(told.encode()).hexdigest()
