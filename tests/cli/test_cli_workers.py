"""Processes that share a command's work."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time

import pytest

from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.workers import LostWorkerError, Stop, Tell, Workers
from tdxfuzz.run.blame import DesignError
from tdxfuzz.verify.search import verify
from tiers import slow


def never() -> bool:
    return False


@pytest.mark.parametrize("most", [1, 2, 3])
def test_answers_come_in_the_order_of_the_requests(most: int) -> None:
    def serve(number: int, stop: Stop, tell: Tell) -> int:
        time.sleep(0.02 if number % 2 else 0)
        return number * number

    with Workers(most, never) as crew:
        assert list(crew.in_order("squares", serve, range(20))) == [n * n for n in range(20)]


def test_requests_are_answered_at_the_same_time_by_other_processes() -> None:
    both = multiprocessing.get_context("fork").Barrier(2)

    def serve(number: int, stop: Stop, tell: Tell) -> int:
        both.wait(timeout=60)
        return os.getpid()

    with Workers(2, never) as crew:
        pids = set(crew.in_order("meet", serve, range(4)))
    assert len(pids) == 2
    assert os.getpid() not in pids


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("error", [UsageProblem("wrong", "why"), DesignError("it raised", "at 1")])
def test_an_error_comes_in_its_turn_and_as_it_was(most: int, error: Exception) -> None:
    def serve(number: int, stop: Stop, tell: Tell) -> int:
        if number == 1:
            raise error
        return number

    with Workers(most, never) as crew:
        answers = crew.in_order("fails", serve, range(3))
        assert next(answers) == 0
        with pytest.raises(type(error)) as raised:
            next(answers)
    assert str(raised.value) == str(error)
    assert vars(raised.value)["details"] == vars(error)["details"]


@pytest.mark.parametrize(
    ("how", "told"),
    [(signal.SIGKILL, "SIGKILL"), (signal.SIGABRT, "SIGABRT"), (None, "exit code 7")],
)
def test_a_lost_worker_is_one_error_and_nothing_before_it_is_lost(
    how: signal.Signals | None, told: str
) -> None:
    def serve(number: int, stop: Stop, tell: Tell) -> int:
        if number == 2:
            if how is None:
                os._exit(7)
            os.kill(os.getpid(), how)
            time.sleep(5)
        return number

    with Workers(2, never) as crew:
        answers = crew.in_order("numbers", serve, range(9))
        assert [next(answers), next(answers)] == [0, 1]
        with pytest.raises(LostWorkerError, match=told):
            next(answers)


def test_to_stop_ends_all_and_what_is_under_way_is_answered() -> None:
    began = time.monotonic()

    def serve(number: int, stop: Stop, tell: Tell) -> int:
        while not stop():
            time.sleep(0.01)
        return number

    with Workers(2, lambda: time.monotonic() > began + 0.3) as crew:
        assert list(crew.in_order("until stopped", serve, range(9))) == [0, 1]


def test_workers_are_gone_at_the_end_whatever_they_do() -> None:
    def serve(number: int, stop: Stop, tell: Tell) -> int:
        if number == 0:
            return os.getpid()
        time.sleep(60)
        return number

    with Workers(2, never) as crew:
        pid = next(crew.in_order("sleepers", serve, range(4)))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_how_far_a_worker_is_can_be_seen_while_it_works() -> None:
    seen: set[object] = set()

    def serve(number: int, stop: Stop, tell: Tell) -> None:
        tell(f"half of {number}")
        time.sleep(0.3)

    with Workers(2, never, lambda: seen.update(crew.told)) as crew:
        list(crew.in_order("told", serve, range(2)))
    assert seen == {"half of 0", "half of 1"}


@slow
def test_a_run_that_came_back_to_its_state_can_be_sent() -> None:
    result = verify(SCENARIOS["map-map"].case("hint"))
    assert result.loop is not None
    assert pickle.loads(pickle.dumps(result)) == result
