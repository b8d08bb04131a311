"""Worker processes: they answer, and what dies, hangs or eats memory is replaced."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from pathlib import Path

import pytest
from attrs import evolve

from tdxfuzz.campaign.settings import Settings, Subject
from tdxfuzz.campaign.task import HuntAnswer, HuntTask, Task
from tdxfuzz.campaign.work import TaskRunner
from tdxfuzz.campaign.workers import FinishedTask, LocalWorkers, rss_of
from tdxfuzz.repro.read import parse
from tiers import slow

GIBI = 1 << 30
TASK = HuntTask(0, "hint", "portfolio", 1, 60)

KILLED = "the worker was ended by SIGKILL: by the design, by somebody, or for want of memory"

HANGS = """
from tdxfuzz.host.design import RefcountLayer

class Mine(RefcountLayer):
    def get(self, pfn, cache=None):
        while True:
            pass

    def put(self, pfn, hint=False):
        pass
"""
EATS = HANGS.replace(
    "            pass\n\n", "            eaten.append(bytes(1 << 24))\n\n", 1
).replace("        while True", "        eaten = []\n        while True")
RAISES = HANGS.replace("        while True:\n            pass", "        return 1 // 0")


def user_settings(folder: Path, text: str) -> Settings:
    path = folder / "mine.py"
    path.write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Settings((Subject("Mine", str(path), "Mine", digest),))


@contextmanager
def workers(
    settings: Settings, count: int = 1, patience: float = 300, memory: int = 4 * GIBI
) -> Iterator[LocalWorkers]:
    team = LocalWorkers(settings, count, patience, memory)
    try:
        yield team
    finally:
        team.close()


def pids() -> list[int]:
    """Of the worker processes, which are all the children that we have."""
    return [child.pid or 0 for child in active_children()]


def answer(team: LocalWorkers, tasks: int = 1) -> list[FinishedTask]:
    finished: list[FinishedTask] = []
    while len(finished) < tasks:
        finished += team.wait(60)
    return finished


SET_OF_STRINGS = """
from tdxfuzz.host.designs.merged import Merged

class Mine(Merged):
    def setup(self):
        super().setup()
        raise LookupError(" ".join({"a", "b", "c", "d", "e", "f", "g", "h"}))
"""


def test_a_set_of_strings_has_one_order_in_all_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    settings = user_settings(tmp_path, SET_OF_STRINGS)
    answers: list[object] = []
    with workers(settings, count=2) as team:
        for number in range(2):
            team.submit(HuntTask(number, "Mine", "portfolio", 1, 1))
        while len(answers) < 2:
            answers += [finished.answer for finished in team.wait(300)]
    assert "PYTHONHASHSEED" not in os.environ
    first, second = answers
    assert isinstance(first, HuntAnswer)
    assert isinstance(second, HuntAnswer)
    assert "LookupError" in first.error
    assert first.error == second.error


def test_a_worker_answers_as_a_runner_does() -> None:
    settings = Settings()
    with workers(settings, 2) as team:
        assert (team.free(), team.size()) == (2, 2)
        tasks: list[Task] = [TASK, evolve(TASK, number=1, design="v2")]
        for task in tasks:
            team.submit(task)
        assert team.free() == 0
        for finished in answer(team, 2):
            here = TaskRunner(settings).do(finished.task)
            assert isinstance(here, HuntAnswer)
            assert isinstance(finished.answer, HuntAnswer)
            assert evolve(finished.answer, seconds=0) == evolve(here, seconds=0)
        assert team.free() == 2
        assert team.rss() > 10 << 20


def test_a_worker_that_dies_is_replaced() -> None:
    with workers(Settings()) as team:
        team.submit(evolve(TASK, cases=10**9))
        (pid,) = pids()
        os.kill(pid, signal.SIGKILL)
        (finished,) = answer(team)
        assert (finished.answer, finished.problem) == (None, KILLED)
        team.submit(TASK)
        (again,) = answer(team)
        assert again.answer is not None
        assert pids() != [pid]


def test_one_that_died_idle_is_noticed_with_its_next_task() -> None:
    with workers(Settings()) as team:
        (pid,) = pids()
        os.kill(pid, signal.SIGKILL)
        while rss_of(pid):
            time.sleep(0.01)
        team.submit(TASK)
        (finished,) = answer(team)
        assert finished.answer is None
        assert "SIGKILL" in finished.problem


@slow
def test_a_design_that_hangs_is_given_up(tmp_path: Path) -> None:
    with workers(user_settings(tmp_path, HANGS), patience=2.5) as team:
        team.submit(evolve(TASK, design="Mine"))
        (finished,) = answer(team)
        assert (finished.answer, finished.problem) == (None, "no answer within 2.5 s")


@pytest.mark.parametrize(
    ("text", "why"),
    [(EATS, "design Mine raised MemoryError"), (RAISES, "design Mine raised ZeroDivisionError")],
    ids=["eats memory", "raises"],
)
def test_a_design_that_breaks_is_told_in_the_answer(tmp_path: Path, text: str, why: str) -> None:
    with workers(user_settings(tmp_path, text), memory=GIBI) as team:
        team.submit(evolve(TASK, design="Mine"))
        (finished,) = answer(team)
        assert isinstance(finished.answer, HuntAnswer)
        assert why in finished.answer.error
        assert "mine.py:" in finished.answer.error


RANDOM = """
import random

from tdxfuzz.host.designs.merged import Merged

class Mine(Merged):
    def get(self, pfn, cache=None):
        if random.random() < 0.5:
            return 0
        return super().get(pfn, cache)
"""
MISUSES = RAISES.replace("return 1 // 0", "return 'done'")


@pytest.mark.parametrize(
    ("text", "bucket"),
    [
        (RAISES, "crash/ZeroDivisionError/get/-"),
        (MISUSES, "crash/ResultError/get/-"),
        (RANDOM, "crash/Nondeterminism/-/-"),
    ],
    ids=["raises", "misuses", "random"],
)
def test_the_answer_has_the_reproducer_of_a_design_at_fault(
    tmp_path: Path, text: str, bucket: str
) -> None:
    told = TaskRunner(user_settings(tmp_path, text)).do(evolve(TASK, design="Mine"))
    assert isinstance(told, HuntAnswer)
    assert told.error_bucket == bucket
    reproducer = parse(told.error_text)
    assert reproducer.expect.bucket == bucket
    assert reproducer.design_file is not None
    assert reproducer.design_file.file == "mine.py"


def test_a_design_file_that_changed_is_not_used(tmp_path: Path) -> None:
    settings = user_settings(tmp_path, RAISES)
    (tmp_path / "mine.py").write_text(HANGS)
    told = TaskRunner(settings).do(evolve(TASK, design="Mine"))
    assert isinstance(told, HuntAnswer)
    assert "was changed after the campaign started" in told.error


def test_workers_end_with_their_coordinator() -> None:
    team = LocalWorkers(Settings(), 1, 300, 4 * GIBI)
    (pid,) = pids()
    team.close()
    assert rss_of(pid) == 0
