"""Files of divergences (``*.jsonl``) for ``tdxfuzz replay`` and ``tdxfuzz show``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tdxfuzz.cli.exit_codes import BROKEN, FINDING, PASS
from tdxfuzz.cli.library_text import advice, call_text, divergence_text, last_call_of, trial_text
from tdxfuzz.cli.output import Output, print_error
from tdxfuzz.sim import HarnessError
from tdxfuzz.targets.library.compare import IN_PROGRAMS, Divergence
from tdxfuzz.targets.library.files import Reproducer, read
from tdxfuzz.targets.library.process import Library
from tdxfuzz.targets.library.replay import is_same, replay
from tdxfuzz.targets.recording import RecordingError


def replay_divergence(
    path: Path, library: Library | None, output: Output
) -> tuple[dict[str, object], int]:
    """Run a divergence's file again; a row of the results, and an exit code."""
    row: dict[str, object] = {"path": str(path)}
    try:
        reproducer = read(path)
        row |= {"check": "divergence", "bucket": f"{reproducer.leaf}/{reproducer.field}"}
        found = replay(reproducer, library)
    except (RecordingError, HarnessError) as error:
        named = "" if str(path) in str(error) else f"{path}: "
        print_error(f"{named}{error}")
        output.line(f"ERROR    {path}", style="magenta")
        return {**row, "result": "ERROR", "error": str(error)}, BROKEN
    if found is None:
        output.line(f"FIXED    {path}", style="green")
        output.block("".join(f"         {line}\n" for line in _of_fixed(reproducer, library)))
        return {**row, "result": "FIXED"}, PASS
    result = "FAILED" if is_same(reproducer, found) else "CHANGED"
    output.line(f"{result:8} {path}  {found.leaf}, {found.field}", style="red")
    output.block("".join(f"         {line}\n" for line in _of_found(reproducer, found, library)))
    row |= {"result": result, "model": found.model, "library": found.library}
    if result == "CHANGED":
        row["shown"] = f"{found.leaf}/{found.field}"
    return row, FINDING


def _of_fixed(reproducer: Reproducer, library: Library | None) -> Iterator[str]:
    if reproducer.of_one_side:
        yield f"the library does it no more: {reproducer.leaf}: {reproducer.library}"
        return
    who = "the model now does what the file has of the library"
    yield who if library is None else "the library now does what the model does"
    yield f"the file has, of {reproducer.leaf}, {reproducer.field}:"
    yield f"  model    {reproducer.model}"
    yield f"  library  {reproducer.library}"


def _of_found(reproducer: Reproducer, found: Divergence, library: Library | None) -> Iterator[str]:
    """Which call it is, and which side did what, now and when the file was written."""
    about = last_call_of(reproducer.trial, found.leaf)
    if about is not None:
        yield call_text(reproducer.trial.calls[about])
    if reproducer.of_one_side:
        yield f"library: {found.library}"
    else:
        yield f"model now        {found.model}"
        yield f"library {'in file' if library is None else 'now    '}  {found.library}"
        if library is not None and is_same(reproducer, found):
            yield f"library in file  {reproducer.library}"
    if not is_same(reproducer, found):
        yield f"the file expects {reproducer.leaf}, {reproducer.field}:"
        yield f"  model    {reproducer.model}"
        yield f"  library  {reproducer.library}"


def show_divergence(path: Path) -> str:
    """What `diff` or a hunt said of a file when it was written.

    Raises:
        RecordingError: it is no such file.
    """
    it = read(path)
    texts = it.leaf, it.field, it.model, it.library
    told = Divergence(*texts, key=texts, place=IN_PROGRAMS)
    lines = "".join(f"  {line}\n" for line in advice(it.field))
    return divergence_text(told) + trial_text(it.trial, it.recorded, it.leaf, it.before) + lines
