"""What ``tdxfuzz verify`` does one after the other: jobs that share the command's time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from attrs import define, field

from tdxfuzz.cli.clock import Clock
from tdxfuzz.cli.ctrl_c import noted
from tdxfuzz.cli.design_arg import Chosen
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import finding_document, write_cut_off, write_finding
from tdxfuzz.repro.save import Saved
from tdxfuzz.run.result import Run
from tdxfuzz.verify.covers import Covers
from tdxfuzz.verify.search import INTERRUPTED, Verdict

NOT_BEGUN = "not begun"
OUT_OF_TIME = "the time was over"

LEAST = 1.0
"""Seconds that a job gets at least when it goes on: shorter ones would be spent on beginning."""


class Job(Protocol):
    """A scenario under a design, or a set-up of hostile calls."""

    @property
    def design(self) -> Chosen: ...
    @property
    def scenario(self) -> str:
        """Its name, or that of the set-up."""
        ...

    @property
    def verdict(self) -> Verdict: ...
    @property
    def why(self) -> str:
        """What keeps an unknown verdict from being a pass."""
        ...

    @property
    def covers(self) -> Covers: ...
    @property
    def begun(self) -> bool: ...
    @property
    def is_unfinished(self) -> bool:
        """Whether only time was missing; not once the user has interrupted it."""
        ...

    def search(self, seconds: float | None, stop: Callable[[], bool]) -> None:
        """Begin, or go on, for so long at most, and until ``stop`` says that Ctrl-C came."""

    def report(self, findings: Findings) -> None:
        """Print the verdict, and what was found; remember the findings."""

    def kind_of_verdict(self) -> str:
        """One or a few words for the closing table."""
        ...

    def document(self) -> Mapping[str, object]:
        """With the keys scripts rely on."""
        ...


@define
class Findings:
    """What was found so far. A bucket of a design is shrunk, shown and written once."""

    out: Path
    output: Output
    source: bool = False
    _first: dict[tuple[str, str], tuple[Saved, str]] = field(factory=dict)

    def add(self, found: Run, bucket: str, design: Chosen, scenario: str) -> Mapping[str, object]:
        """A finding for JSON; the first of its bucket is shown with its trace."""
        key = design.name, bucket
        if key not in self._first:
            saved = write_finding(found, design, self.out, self.output, self.source)
            self._first[key] = saved, scenario
        else:
            saved, first = self._first[key]
            self.output.line(f"  {bucket}: see {first}, {saved.path}")
        saved, first = self._first[key]
        return {**finding_document(saved), "first_in": first}

    def add_cut_off(self, cut_off: Run, design: Chosen) -> list[str]:
        """The file of a run that does not end."""
        saved = write_cut_off(cut_off, design, self.out, self.output)
        return [str(saved.path)]


def run_jobs(jobs: Sequence[Job], clock: Clock, fail_fast: bool, findings: Findings) -> None:
    """Search one after the other. Each gets an equal share of the time that is left, and goes on
    later if that is not enough, with the time that others did not need.

    It ends early if the user interrupts it, and after the first finding if ``fail_fast``.
    """
    waiting = deque(jobs)
    while waiting and not (clock.is_over and jobs[0].begun):
        job = waiting.popleft()
        share = clock.share(len(waiting) + 1, LEAST if job.begun else 0.0)
        with noted() as stop:
            job.search(share, stop)
        if job.is_unfinished and clock.seconds is not None:
            waiting.append(job)
            continue
        job.report(findings)
        if stop() or job.why == INTERRUPTED or (fail_fast and job.verdict is Verdict.FAIL):
            break
    for job in waiting:
        if job.begun:
            job.report(findings)
