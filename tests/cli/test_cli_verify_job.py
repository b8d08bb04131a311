"""Jobs that share the time of a command: who gets how much of it, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import define, field

from tdxfuzz.cli import clock
from tdxfuzz.cli.clock import Clock
from tdxfuzz.cli.design_arg import Chosen
from tdxfuzz.cli.output import Output
from tdxfuzz.cli.verify_job import Findings, run_jobs
from tdxfuzz.cli.workers import Stop, Tell
from tdxfuzz.verify.covers import Covers
from tdxfuzz.verify.search import INTERRUPTED, Verdict


class Time:
    """A clock that jobs move on."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@define
class Needs:
    """A job that needs so many seconds."""

    time: Time
    seconds: float
    scenario: str = "a scenario"
    at_the_end: Verdict = Verdict.PASS
    why: str = ""
    design: Chosen = field(factory=lambda: Chosen("v6", "v6"))
    got: list[float | None] = field(factory=list)
    reported: int = 0
    covers: Covers = field(factory=lambda: Covers(2, None, False, False, (), (), (), "1.5.25"))

    @property
    def begun(self) -> bool:
        return bool(self.got)

    @property
    def is_unfinished(self) -> bool:
        return self.seconds > 0

    @property
    def verdict(self) -> Verdict:
        return Verdict.UNKNOWN if self.is_unfinished else self.at_the_end

    def search(self, seconds: float | None, stop: Stop, tell: Tell) -> None:
        self.got.append(seconds)
        used = self.seconds if seconds is None else min(seconds, self.seconds)
        self.seconds -= used
        self.time.now += used

    def keep(self) -> None:
        """Nothing."""

    def told(self) -> object:
        return None

    def hear(self, told: object) -> None:
        """Nothing new: it was searched here."""

    def lose(self, why: str) -> None:
        self.why = why

    def report(self, findings: Findings) -> None:
        self.reported += 1

    def kind_of_verdict(self) -> str:
        return self.verdict.value

    def document(self) -> Mapping[str, object]:
        return {}


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(clock, "time", made)
    return made


def run(jobs: list[Needs], seconds: float | None, fail_fast: bool = False) -> None:
    run_jobs(jobs, Clock(seconds), fail_fast, Findings(Path("none"), Output(as_json=True)))


def test_what_one_does_not_need_another_gets(time: Time) -> None:
    jobs = [Needs(time, 50), Needs(time, 1), Needs(time, 2)]
    run(jobs, 60)
    assert [job.verdict for job in jobs] == [Verdict.PASS] * 3
    assert jobs[0].got == [20, 37]
    assert time.now == 53


def test_each_is_reported_once_and_the_time_is_kept(time: Time) -> None:
    jobs = [Needs(time, 100), Needs(time, 1), Needs(time, 100)]
    run(jobs, 30)
    assert [job.reported for job in jobs] == [1, 1, 1]
    assert [job.verdict for job in jobs] == [Verdict.UNKNOWN, Verdict.PASS, Verdict.UNKNOWN]
    assert time.now == 30


def test_without_time_left_the_rest_is_not_begun(time: Time) -> None:
    jobs = [Needs(time, 5), Needs(time, 5)]
    run(jobs, 0)
    assert [job.begun for job in jobs] == [True, False]
    assert [job.reported for job in jobs] == [1, 0]


def test_without_a_bound_each_is_searched_once(time: Time) -> None:
    jobs = [Needs(time, 5), Needs(time, 5)]
    run(jobs, None)
    assert [job.got for job in jobs] == [[None], [None]]


def test_a_finding_ends_it_only_if_that_is_asked_for(time: Time) -> None:
    for fail_fast in (False, True):
        jobs = [Needs(time, 1, at_the_end=Verdict.FAIL), Needs(time, 1)]
        run(jobs, None, fail_fast)
        assert jobs[1].begun is not fail_fast


def test_an_interruption_ends_it_and_what_was_begun_is_reported(time: Time) -> None:
    jobs = [Needs(time, 100), Needs(time, 0, why=INTERRUPTED), Needs(time, 1)]
    run(jobs, 30)
    assert [job.reported for job in jobs] == [1, 1, 0]
