"""Assertions for tests: a case is clean; a steered run equals its case."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hypothesis import currently_in_test_context, event, note, target
from hypothesis.errors import InvalidArgument

from tdxfuzz.case.case import Case
from tdxfuzz.engines.statistics import BUSY
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.reproducer import SUFFIX
from tdxfuzz.repro.save import Saved, save
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, run
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.testing.run_cache import run_cache

OUT = "TDXFUZZ_OUT"
"""Environment variable: the folder for reproducers; by default ``reproducers``."""

_saved: dict[tuple[str, str, type[RefcountLayer] | None], Saved] = {}


class Broken(AssertionError):
    """A check fired. The text has the bucket, the trace, and the command for a replay."""


def assert_clean(case: Case, design: Design = None) -> Run:
    """Run a case. Return the run if no check fired.

    A finding is shrunk and written as a reproducer, once for each bucket. A test framework
    that shrinks by itself then gets the same answer at once. In a Hypothesis test the run also
    goes into the statistics, and guides Hypothesis to runs with more contention.

    Raises:
        Broken: a check fired.
        HarnessError: as for :func:`tdxfuzz.run.session.run`.
    """
    found = run_cache(design).run(case)
    finding = found.finding
    in_hypothesis = currently_in_test_context()
    if in_hypothesis:
        _tell_hypothesis(found)
    if finding is None:
        return found
    if in_hypothesis:
        note(f"the case that Hypothesis drew:\n{columns(run(case, design, traced=True))}")
    key = case.design, finding.bucket, design
    if key not in _saved:
        out = Path(os.environ.get(OUT, "reproducers"))
        _saved[key] = save(shrink(found, design).run, found, out, design=design)
    saved = _saved[key]
    raise Broken(
        f"{finding.bucket}\n\n{columns(saved.run)}\n"
        f"Reproduce with: tdxfuzz replay {saved.path}\n"
        f"            or: pytest -p tdxfuzz.pytest_plugin --tdx-regressions {saved.path.parent} "
        f"-k {saved.path.name.removesuffix(SUFFIX)}"
    )


def _tell_hypothesis(found: Run) -> None:
    """Hypothesis should look for runs in which calls are refused as busy, and in which other
    CPUs do much while a CPU is in get or put, between its decision and its act.
    """
    busy = sum(count for (_, code), count in found.calls.items() if code == BUSY)
    event(f"contention: {found.contention.name.lower()}")
    event(f"busy: {'never' if not busy else 'once' if busy == 1 else 'several times'}")
    if found.adds_met:
        event("a pair was added while another CPU used its range")
    # A label counts once in a test case: of several runs the first.
    with suppress(InvalidArgument):
        target(busy, label="busy answers")
        target(found.longest, label="steps from entering get or put to leaving it")


def assert_same(steered: Run, case: Case, design: Design = None) -> None:
    """A steered run and the case made from it have the same result.

    Raises:
        AssertionError: the results differ, because of a bug in the simulator.
    """
    again = run(case, design)
    for what, one, other in (
        ("steps", steered.outcome.steps, again.outcome.steps),
        ("end", steered.outcome.end, again.outcome.end),
        ("findings", steered.findings, again.findings),
        ("calls", steered.calls, again.calls),
    ):
        if one != other:
            raise AssertionError(
                f"the steered run and its case differ in {what}: {one} and {other}: {case}"
            )
