"""What ``tdxfuzz verify`` does: jobs that share the command's time and its workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from attrs import define, field

from tdxfuzz.cli.clock import Clock
from tdxfuzz.cli.ctrl_c import noted
from tdxfuzz.cli.design_arg import Chosen
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.report import finding_document, write_cut_off, write_finding
from tdxfuzz.cli.workers import LostWorkerError, Pending, Stop, Tell, Worker, Workers
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

    def search(self, seconds: float | None, stop: Stop, tell: Tell) -> None:
        """Begin, or go on, for so long at most, and until ``stop`` says that Ctrl-C came."""

    def keep(self) -> None:
        """Nothing follows: keep what is unfinished."""

    def told(self) -> object:
        """What has become of it by now. This can be sent to another process; the job cannot."""
        ...

    def hear(self, told: Any) -> None:
        """Be as far as the same job in another process has :meth:`told`."""

    def lose(self, why: str) -> None:
        """The process that searched has ended."""

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


@define
class _Turn:
    """A job that has been told to go on."""

    job: Job
    worker: Worker[float | None, object]
    pending: Pending[object]


def run_jobs(
    jobs: Sequence[Job],
    clock: Clock,
    fail_fast: bool,
    findings: Findings,
    workers: int = 1,
    show: Callable[[str], None] = lambda text: None,
) -> LostWorkerError | None:
    """Search, as many at a time as there are workers. Each job gets an equal share of the time that
    is left, and goes on later if that is not enough, with the time that others did not need. They
    are reported in the order in which they were begun.

    It ends early if the user interrupts it, and after the first finding if ``fail_fast``.

    Args:
        jobs: what to search; they are changed.
        clock: the time of all.
        fail_fast: end after the first finding.
        findings: what was found is added.
        workers: how many processes.
        show: is told now and then how far they are.

    Returns:
        The first worker that was lost, if any. The others went on.

    Raises:
        HarnessError: a design misused the harness, or raised.
    """
    lost: LostWorkerError | None = None
    any_begun = is_ending = False
    waiting = deque(jobs)
    turns: deque[_Turn] = deque()
    begun: dict[int, Worker[float | None, object]] = {}

    def look() -> None:
        if crew.told:
            show(" | ".join(map(str, crew.told)))

    with (
        noted() as stop,
        Workers(min(workers, len(jobs)), lambda: is_ending or stop(), look) as crew,
    ):

        def begin(job: Job) -> _Turn:
            share = clock.share(
                max(1, (len(waiting) + 1) / crew.most), LEAST if id(job) in begun else 0.0
            )
            worker = begun.get(id(job))
            if worker is None:
                what = f"{job.design.name} {job.scenario}"
                worker = begun[id(job)] = crew.new(what, partial(_serve, job))
            return _Turn(job, worker, worker.ask(share))

        def report(job: Job) -> None:
            worker = begun.pop(id(job))
            keep = worker.ask(KEEP)
            while not keep.is_there:
                crew.wait()
            keep.take()
            crew.end(worker)
            job.report(findings)

        while waiting or turns:
            while (
                waiting
                and crew.is_free
                and len(turns) < crew.ahead
                and not crew.stop()
                and not (clock.is_over and any_begun)
            ):
                turns.append(begin(waiting.popleft()))
                any_begun = True
            if not turns:
                break
            if not turns[0].pending.is_there:
                crew.wait()
                continue
            turn = turns.popleft()
            job = turn.job
            try:
                job.hear(turn.pending.take())
            except LostWorkerError as error:
                lost = lost or error
                job.lose(str(error))
                crew.end(begun.pop(id(job)))
                job.report(findings)
                continue
            is_ending = is_ending or job.why == INTERRUPTED
            if job.is_unfinished and clock.seconds is not None and not crew.stop():
                waiting.append(job)
                continue
            report(job)
            if fail_fast and job.verdict is Verdict.FAIL:
                break
        for job in waiting:
            if job.begun:
                report(job)
    return lost


KEEP = -1.0
"""Asks a job to keep what is unfinished, where a time is expected."""


def _serve(job: Job, seconds: float | None, stop: Stop, tell: Tell) -> object:
    """What a job's own process does."""
    if seconds == KEEP:
        job.keep()
        return None
    job.search(seconds, stop, tell)
    return job.told()
