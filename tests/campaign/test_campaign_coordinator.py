"""Nothing is counted twice, nothing is lost, and it knows when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from campaigns import SMALL, Campaign, InlineWorkers
from tdxfuzz.campaign.coordinator import Limits
from tdxfuzz.campaign.events import (
    DesignCutOff,
    FindingKept,
    FindingMet,
    FindingShrunk,
    Stopped,
    WorkerLost,
)
from tdxfuzz.campaign.store import Store
from tdxfuzz.campaign.store_file import StoreError
from tdxfuzz.campaign.summary import summarise
from tdxfuzz.campaign.task import ATTEMPTS, Answer, HuntAnswer, HuntTask, ShrinkTask, Sighting, Task
from tdxfuzz.campaign.work import TaskRunner
from tdxfuzz.campaign.workers import FinishedTask
from tdxfuzz.repro.read import read
from tdxfuzz.repro.replay import ReplayResult, replay
from tiers import slow

CASES = 6 * SMALL.batch


def test_a_campaign_finds_shrinks_and_writes(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    assert campaign.run(Limits(cases=CASES)) == f"{CASES:,} cases done"
    (met,) = campaign.told(FindingMet)
    (shrunk,) = campaign.told(FindingShrunk)
    assert met.design == shrunk.design == "hint"
    assert (shrunk.operations, shrunk.preemptions, shrunk.reliable) == (2, 1, 10)
    for path in (met.path, shrunk.path):
        assert replay(read(Path(path))).result is ReplayResult.FAILED
    with campaign.store() as store:
        summary = summarise(store)
    assert [(d.name, d.verdict, d.cases) for d in summary.designs] == [
        ("hint", "fail", CASES // 2),
        ("merged", summary.designs[1].verdict, CASES // 2),
    ]
    assert summary.entries == len(campaign.folder.entries())


@slow
def test_two_runs_come_to_what_one_run_comes_to(tmp_path: Path) -> None:
    whole, halves = Campaign(tmp_path / "a"), Campaign(tmp_path / "b")
    whole.run(Limits(cases=CASES))
    halves.run(Limits(cases=CASES // 2))
    halves.run(Limits(cases=CASES))
    tables = []
    for campaign in (whole, halves):
        with campaign.store() as store:
            names = [path.name for path in campaign.folder.entries()]
            tables.append(
                (
                    names,
                    store.query("SELECT number, design, kind, cases, steps FROM hunts"),
                    store.query("SELECT * FROM calls"),
                    store.query("SELECT * FROM features"),
                    store.query("SELECT design, bucket, cases, sightings, shrunk FROM findings"),
                )
            )
    assert tables[0] == tables[1]


@slow
def test_a_campaign_that_is_done_does_nothing_more(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    campaign.run(Limits(cases=CASES))
    workers = InlineWorkers(campaign.settings)
    campaign.run(Limits(cases=CASES), workers)
    assert workers.asked == []


def test_an_answer_is_counted_once(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    task = HuntTask(0, "hint", "portfolio", 1, 50)
    answer = TaskRunner(SMALL).do(task)
    assert isinstance(answer, HuntAnswer)
    with campaign.store() as store:
        for expected in (True, False):
            with store.transaction():
                assert store.count(task, answer, "portfolio") is expected
        assert store.totals().cases == 50


def lose(first: int) -> Callable[[Task], str | None]:
    """Lose each of the first tasks."""
    left = [first]

    def spoil(task: Task) -> str | None:
        left[0] -= 1
        return "its worker died (SIGKILL)" if left[0] >= 0 else None

    return spoil


@slow
def test_what_a_worker_was_doing_is_given_out_again(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    workers = InlineWorkers(SMALL, lose(2))
    campaign.run(Limits(cases=4 * SMALL.batch), workers)
    assert len(campaign.told(WorkerLost)) == 2
    # When each of the two designs had a turn.
    hunts = [task.number for task in workers.asked if isinstance(task, HuntTask)]
    assert hunts == [0, 1, 2, 0, 3, 1]
    with campaign.store() as store:
        assert store.counted() == {0, 1, 2, 3}


class SmallMachine(InlineWorkers):
    """Two workers, and memory for one: where both work, both are killed."""

    def free(self) -> int:
        return 2 - len(self._finished)

    def size(self) -> int:
        return 2

    def wait(self, seconds: float) -> Sequence[FinishedTask]:
        finished = super().wait(seconds)
        if len(finished) < 2:
            return finished
        return [FinishedTask(one.task, None, "SIGKILL") for one in finished]


@slow
def test_workers_lost_for_want_of_memory_condemn_no_design(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    campaign.run(Limits(cases=2 * SMALL.batch), SmallMachine(SMALL))
    assert len(campaign.told(WorkerLost)) >= 4
    assert not campaign.told(DesignCutOff)
    with campaign.store() as store:
        assert store.totals().cases == 2 * SMALL.batch


def test_a_design_that_was_only_suspected_is_hunted_by_the_next_run(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    everything = InlineWorkers(SMALL, lambda task: "SIGKILL")
    assert campaign.run(Limits(cases=1_000), everything) == "no design is left to hunt"
    assert len(campaign.told(DesignCutOff)) == 2
    campaign.run(Limits(cases=2 * SMALL.batch))
    with campaign.store() as store:
        assert not store.cut_offs()
        assert store.counted() == {0, 1}


def test_without_a_worker_it_waits_for_one(tmp_path: Path) -> None:
    class Late(InlineWorkers):
        asked_in_vain = 0

        def free(self) -> int:
            self.asked_in_vain += 1
            return super().free() if self.asked_in_vain > 5 else 0

    campaign = Campaign(tmp_path / "c")
    assert campaign.run(Limits(cases=SMALL.batch), Late(SMALL)) == "80 cases done"
    with campaign.store() as store:
        assert store.counted() == {0}


def test_a_design_that_costs_workers_is_cut_off(tmp_path: Path) -> None:
    def spoil(task: Task) -> str | None:
        return "no answer within 5 s" if task.design == "hint" else None

    campaign = Campaign(tmp_path / "c")
    campaign.run(Limits(cases=2 * SMALL.batch), InlineWorkers(SMALL, spoil))
    (cut,) = campaign.told(DesignCutOff)
    why = f"suspected, because one task failed {ATTEMPTS} times, at last while nothing else ran: "
    assert cut == DesignCutOff("hint", f"{why}no answer within 5 s")
    with campaign.store() as store:
        summary = summarise(store)
    assert (summary.verdict, summary.exit_code) == ("error", 2)
    assert summary.designs[0].why.startswith("cut off: suspected, because one task failed 3 times")


def test_with_no_design_left_it_stops(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c", evolve(SMALL, subjects=SMALL.subjects[:1]))
    workers = InlineWorkers(campaign.settings, lambda task: "its worker died (SIGSEGV)")
    assert campaign.run(Limits(cases=1_000), workers) == "no design is left to hunt"
    assert campaign.told(Stopped)


@slow
def test_a_finding_that_cannot_be_shrunk_is_kept(tmp_path: Path) -> None:
    def spoil(task: Task) -> str | None:
        return "no answer within 5 s" if isinstance(task, ShrinkTask) else None

    campaign = Campaign(tmp_path / "c")
    campaign.run(Limits(cases=CASES), InlineWorkers(SMALL, spoil))
    (kept,) = campaign.told(FindingKept)
    assert kept.why == "no answer within 5 s"
    with campaign.store() as store:
        (finding,) = store.findings()
    path = campaign.folder.finding(finding.design, finding.bucket)
    assert path.read_text("utf-8") == finding.original
    assert replay(read(path)).result is ReplayResult.FAILED


@slow
def test_ten_thousand_findings_of_a_bucket_are_one(tmp_path: Path) -> None:
    race = TaskRunner(SMALL).do(HuntTask(0, "hint", "portfolio", 1, 400))
    assert isinstance(race, HuntAnswer)
    (seen,) = race.sightings

    def spoil(task: Task) -> Answer | None:
        if not isinstance(task, HuntTask):
            return None
        many = Sighting(
            seen.bucket, f"{task.number}", seen.text, seen.operations, seen.preemptions, 1, 100
        )
        return HuntAnswer(task.number, cases=task.cases, sightings=(many,))

    settings = evolve(SMALL, subjects=SMALL.subjects[:1])
    campaign = Campaign(tmp_path / "c", settings)
    campaign.run(Limits(cases=100 * SMALL.batch), InlineWorkers(settings, spoil))
    with campaign.store() as store:
        (finding,) = store.findings()
        assert finding.sightings == 10_000
    assert len(list(campaign.folder.findings.iterdir())) == 1
    assert len(list(campaign.folder.originals.iterdir())) == 1
    assert len(campaign.told(FindingMet)) == 1
    assert campaign.folder.store.stat().st_size < 400_000


def test_a_plateau_ends_it(tmp_path: Path) -> None:
    settings = evolve(SMALL, subjects=SMALL.subjects[:1])
    campaign = Campaign(tmp_path / "c", settings)

    def nothing_new(task: Task) -> Answer:
        time.sleep(0.01)
        assert isinstance(task, HuntTask)
        return HuntAnswer(task.number, cases=1)

    why = campaign.run(Limits(plateau=0.1), InlineWorkers(settings, nothing_new))
    assert why == "no new feature for 0.1 s"


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter(range(10**9, 0, -(10**6)))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    campaign = Campaign(tmp_path / "c")
    campaign.run(Limits(cases=2 * SMALL.batch))
    with campaign.store() as store:
        assert 0 < store.totals().seconds < 600


@slow
def test_files_that_a_crash_kept_from_being_written_are_written(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    campaign.run(Limits(cases=CASES))
    (shrunk,) = campaign.told(FindingShrunk)
    path = Path(shrunk.path)
    text = path.read_text("utf-8")
    path.unlink()
    (campaign.folder.findings / ".half.tmp").write_text("for")
    original = campaign.folder.original("hint", shrunk.bucket)
    original.write_text("half of")
    campaign.run(Limits(cases=CASES))
    assert path.read_text("utf-8") == text
    assert replay(read(original)).result is ReplayResult.FAILED
    assert not list(campaign.folder.findings.glob(".*"))


@slow
def test_a_full_disk_ends_it_with_the_file_named(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    campaign.run(Limits(cases=2 * SMALL.batch))
    with closing(Store(campaign.folder.store)) as store:
        (pages,) = store.query("PRAGMA page_count")[0]
        store.query(f"PRAGMA max_page_count = {pages}")
        task = HuntTask(10, "hint", "portfolio", 1, 1)
        full = HuntAnswer(10, 1, calls=tuple((0, code, 1) for code in range(5_000)))
        with (
            pytest.raises(
                StoreError, match=r"store\.sqlite: database or disk is full; the counts so far"
            ),
            store.transaction(),
        ):
            store.count(task, full, "portfolio")
    with campaign.store() as store:
        assert store.counted() == {0, 1}
        assert store.query("PRAGMA integrity_check") == [("ok",)]
    campaign.run(Limits(cases=3 * SMALL.batch))
