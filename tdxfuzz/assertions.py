"""What a test asserts about a case, and what it says when that does not hold."""

from __future__ import annotations

import os
from pathlib import Path

from tdxfuzz.check.run import Design, Run, run
from tdxfuzz.host.case import Case
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.save import Saved, save
from tdxfuzz.search.shrink import shrink

OUT = "TDXFUZZ_OUT"
"""Environment variable: the folder for reproducers; by default ``reproducers``."""

_saved: dict[tuple[str, str, type[RefcountLayer] | None], Saved] = {}


class Broken(AssertionError):
    """An invariant does not hold; the text is bucket, trace, and how to replay it."""


def assert_clean(case: Case, design: Design = None) -> Run:
    """Run a case and return the run, if no check has found anything.

    What is found is shrunk and written as a reproducer, once for each bucket: a test
    framework that goes on to shrink by itself gets the same answer at once.

    Raises:
        Broken: a check has found something.
        HarnessError: as for :func:`tdxfuzz.check.run.run`.
    """
    found = run(case, design)
    finding = found.finding
    if finding is None:
        return found
    key = case.design, finding.bucket, design
    if key not in _saved:
        out = Path(os.environ.get(OUT, "reproducers"))
        _saved[key] = save(shrink(found, design).run, found, out, "pytest", design=design)
    saved = _saved[key]
    raise Broken(
        f"{finding.bucket}\n\n{columns(saved.run)}\nReproduce with: tdxfuzz replay {saved.path}"
    )


def assert_same(steered: Run, case: Case, design: Design = None) -> None:
    """A run that was steered, and the case made of it, show the same.

    Raises:
        AssertionError: they do not: the simulator is at fault.
    """
    again = run(case, design)
    for what, one, other in (
        ("steps", steered.outcome.steps, again.outcome.steps),
        ("end", steered.outcome.end, again.outcome.end),
        ("findings", steered.findings, again.findings),
        ("calls", steered.calls, again.calls),
    ):
        if one != other:
            raise AssertionError(f"{what}: {one} when steered, {other} as a case: {case}")
