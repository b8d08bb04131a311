"""What commands do with a finding: shrink it, show its trace, write its reproducer."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from tdxfuzz.cli.design_arg import Chosen
from tdxfuzz.cli.out_folder import keep
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.variant_arg import replay_option
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.known import known_heading, known_text
from tdxfuzz.repro.save import Saved, prepare
from tdxfuzz.repro.words import counted
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.shrink.order_search import ENOUGH
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.verify.search import Verdict
from tdxfuzz.verify.worklist import SearchCounts

STOPPED_EARLY = (
    f"the shrinker stopped after {counted(ENOUGH, 'replay')} with what it had; "
    "`tdxfuzz shrink` of the reproducer may make it smaller still"
)

STYLES = {Verdict.PASS: "", Verdict.FAIL: "red", Verdict.UNKNOWN: "yellow"}
"""How a terminal shows a verdict."""


def counts_document(counts: SearchCounts) -> dict[str, object]:
    """The counts of a search in all orders, with the keys that scripts rely on."""
    return {
        "states": counts.states,
        "transitions": counts.transitions,
        "schedules": counts.schedules,
        "depth": counts.depth,
        "seconds": round(counts.seconds, 3),
    }


def size_text(run: Run) -> str:
    """``"2 operations, 1 preemption"``."""
    operations = counted(run.case.operations, "operation")
    return f"{operations}, {counted(run.preemptions, 'preemption')}"


def write_finding(
    original: Run,
    design: Chosen,
    out: Path,
    output: Output,
    source: bool = False,
) -> Saved:
    """Shrink a run that has a finding, print its trace, write its reproducer. ``source``: the
    trace names lines of the design's code. Printed before it is written, and written even if the
    output has failed: one of the two is left.
    """
    best = _shrink(original, design, output)
    saved = prepare(best, original, out, design.design, design.file, source)
    finding = saved.run.finding
    assert finding is not None
    try:
        output.line(f"original: {size_text(original)}; shrunk: {size_text(best)}")
        output.line()
        output.block(columns(saved.run, source=source))
        output.line()
        output.line(f"bucket: {finding.bucket}")
        known = known_text(saved.run.case.design, finding.bucket)
        if known:
            output.line(known)
    finally:
        saved = write_saved(saved, output)
    _tell_file(saved, design, output)
    return saved


def write_saved(saved: Saved, output: Output) -> Saved:
    """Write a reproducer, or print its text."""
    return evolve(saved, is_written=keep(saved.text, saved.path, output))


def write_cut_off(cut_off: Run, design: Chosen, out: Path, output: Output) -> Saved:
    """Say where a run was that did not end, and write its reproducer. It is not shrunk."""
    saved = prepare(cut_off, cut_off, out, design.design, design.file)
    shown = saved.run.cut_off
    try:
        output.line(f"cut off: {shown.message if shown is not None else 'this time the run ended'}")
    finally:
        saved = write_saved(saved, output)
    _tell_file(saved, design, output)
    return saved


def write_design_error(
    error: DesignError, design: Chosen, out: Path, output: Output
) -> Saved | None:
    """Show the run that led to a design's error, and write its reproducer, if there was a run."""
    if error.run is None:
        return None
    saved = prepare(error.run, error.run, out, design.design, design.file)
    try:
        output.line()
        output.block(columns(saved.run))
        output.line()
    finally:
        saved = write_saved(saved, output)
    _tell_file(saved, design, output)
    return saved


def _tell_file(saved: Saved, design: Chosen, output: Output) -> None:
    if not saved.is_written:
        return
    output.line(f"reproducer: {saved.path}")
    options = design.options + replay_option(saved.run.case.world.module_variant)
    output.line(f"Reproduce with: tdxfuzz replay {saved.path}{options}")


def error_document(error: DesignError, saved: Saved | None) -> dict[str, object]:
    """What JSON says of a command that a design's error has ended."""
    return {
        "verdict": "error",
        "error": str(error),
        "kind": error.kind,
        **({"reproducer": None} if saved is None else file_document(saved)),
    }


def file_document(saved: Saved) -> dict[str, object]:
    """Where a reproducer is; its text, if it could not be written."""
    if saved.is_written:
        return {"reproducer": str(saved.path)}
    return {"reproducer": None, "reproducer_text": saved.text}


def finding_document(saved: Saved) -> dict[str, object]:
    """A finding, with the keys that scripts rely on."""
    finding = saved.run.finding
    assert finding is not None
    return {
        "check": finding.check,
        "design": saved.run.case.design,
        "bucket": finding.bucket,
        "message": finding.message,
        "known": known_heading(saved.run.case.design, finding.bucket) or None,
        **file_document(saved),
        "operations": saved.run.case.operations,
        "preemptions": saved.run.preemptions,
        "original_operations": saved.original.case.operations,
        "original_preemptions": saved.original.preemptions,
    }


def _shrink(original: Run, design: Chosen, output: Output) -> Run:
    """Shrink. Ctrl-C stops it, and the smallest run so far is kept."""
    best = original

    def progress(smaller: Run, replays: int) -> None:
        nonlocal best
        best = smaller
        output.progress(f"shrinking: {size_text(smaller)} after {counted(replays, 'replay')}")

    try:
        result = shrink(original, design.design, progress)
        if result.stopped_early:
            output.line(STOPPED_EARLY)
        return result.run
    except KeyboardInterrupt:
        output.line("interrupted while shrinking; this is the smallest run so far")
        return run(best.case, design.design)
