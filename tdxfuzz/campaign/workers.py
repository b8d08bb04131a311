"""Workers: processes of this machine that do tasks, and may die, hang or eat memory.

A worker is told the settings once and then gets tasks as JSON through a pipe, one at a time. One
that dies or does not answer in time is replaced; its task comes back without an answer.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from attrs import define, frozen

from tdxfuzz.campaign.prints import discard_prints
from tdxfuzz.campaign.settings import Settings
from tdxfuzz.campaign.task import Answer, Task, answer_of, task_of, to_text
from tdxfuzz.campaign.work import TaskRunner
from tdxfuzz.sim import deaf_children
from tdxfuzz.sim.process_exit import keep_process
from tdxfuzz.sim.watchdog import HANG_SECONDS, on_heartbeat

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LEAVE_SECONDS = 5.0
HASH_SEED = "PYTHONHASHSEED"

PATIENCE = 3.0
"""Seconds that a run which hangs has to end by an exception."""


class WorkersGoneError(Exception):
    """Nobody can do tasks any more; says what to do about it."""


@frozen
class FinishedTask:
    """A task with its answer, or with what became of the worker instead."""

    task: Task
    answer: Answer | None
    problem: str = ""


class Workers(Protocol):
    """Do tasks for a coordinator.

    Any method but ``close`` may raise :class:`WorkersGoneError`.
    """

    def free(self) -> int:
        """How many more tasks it can take now."""

    def size(self) -> int:
        """How many workers there are."""

    def submit(self, task: Task) -> None:
        """Have a task done."""

    def wait(self, seconds: float) -> Sequence[FinishedTask]:
        """The tasks that are finished by now, or within so many seconds."""

    def rss(self) -> int:
        """Resident memory of all workers, bytes."""

    def close(self) -> None:
        """Stop all of them; what they were doing is lost."""


class Nobody:
    """Who works when all workers are gone."""

    def free(self) -> int:
        return 0

    def size(self) -> int:
        return 0

    def submit(self, task: Task) -> None:
        raise AssertionError(task)

    def wait(self, seconds: float) -> Sequence[FinishedTask]:
        return ()

    def rss(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing."""


@define
class _Worker:
    """One process, its pipe, and what it is doing since when."""

    process: BaseProcess
    pipe: Connection
    task: Task | None = None
    began: float = 0.0


class LocalWorkers:
    """Worker processes on this machine.

    Args:
        settings: told to each worker.
        count: how many.
        patience: seconds after which a task is given up and its worker killed.
        memory: bytes of address space that a worker may use.
    """

    def __init__(self, settings: Settings, count: int, patience: float, memory: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._settings = settings.text()
        self._patience = patience
        self._memory = memory
        self._workers = [self._start() for _ in range(count)]

    def free(self) -> int:
        return sum(worker.task is None for worker in self._workers)

    def size(self) -> int:
        return len(self._workers)

    def submit(self, task: Task) -> None:
        worker = next(worker for worker in self._workers if worker.task is None)
        worker.task, worker.began = task, time.monotonic()
        # A pipe whose reader is gone: the end of the process says so soon.
        try:
            worker.pipe.send_bytes(to_text(task).encode())
        except OSError:
            return

    def wait(self, seconds: float) -> Sequence[FinishedTask]:
        now = time.monotonic()
        busy = [worker for worker in self._workers if worker.task is not None]
        for worker in busy:
            seconds = min(seconds, worker.began + self._patience - now)
        waitable = [worker.pipe for worker in busy]
        wait(waitable, timeout=max(seconds, 0))
        return [finished for worker in busy if (finished := self._finished(worker)) is not None]

    def rss(self) -> int:
        return sum(rss_of(worker.process.pid) for worker in self._workers)

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join(LEAVE_SECONDS)
            worker.pipe.close()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._settings, self._memory), daemon=True
        )
        with deaf_children(), fixed_hash_seed():
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def _finished(self, worker: _Worker) -> FinishedTask | None:
        """What a busy worker has to say by now; one that is lost gets a successor."""
        task = worker.task
        assert task is not None
        problem = ""
        try:
            if worker.pipe.poll():
                answer = answer_of(worker.pipe.recv_bytes().decode())
                worker.task = None
                return FinishedTask(task, answer)
        except (EOFError, OSError):
            worker.process.join(LEAVE_SECONDS)
            problem = _how_it_ended(worker.process.exitcode)
        if not problem and time.monotonic() - worker.began >= self._patience:
            problem = f"no answer within {self._patience:g} s"
        if not problem:
            return None
        worker.process.kill()
        worker.process.join(LEAVE_SECONDS)
        worker.pipe.close()
        self._workers[self._workers.index(worker)] = self._start()
        return FinishedTask(task, None, problem)


def _how_it_ended(code: int | None) -> str:
    """What is known of a worker that is gone. It may have been the design, or not."""
    if code is None:
        return "the worker says nothing more"
    if code >= 0:
        return f"the worker ended with exit code {code}"
    name = signal.Signals(-code).name
    if name == "SIGKILL":
        return "the worker was ended by SIGKILL: by the design, by somebody, or for want of memory"
    return f"the worker was ended by {name}"


@contextmanager
def fixed_hash_seed() -> Iterator[None]:
    """Processes that start in this block have a fixed hash seed, unless the user has chosen one: a
    set of strings has the same order in each of them, so a run is the same in any worker.
    """
    if HASH_SEED in os.environ:
        yield
        return
    os.environ[HASH_SEED] = "0"
    try:
        yield
    finally:
        del os.environ[HASH_SEED]


def rss_of(pid: int | None) -> int:
    """Resident memory of a process in bytes, 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _end_if_it_hangs(told: int) -> None:
    """Code under test that catches every exception, or is inside of a function in C, ends the
    worker: a thread that needs no interpreter does it, tells where the code was, and the
    coordinator gives the task out anew.
    """

    def heartbeat(hangs: bool) -> None:
        if not hangs:
            faulthandler.dump_traceback_later(HANG_SECONDS + PATIENCE, file=told, exit=True)

    # Code that holds the interpreter from the start leaves no time for a first look.
    heartbeat(False)
    on_heartbeat(heartbeat)


def _serve(pipe: Connection, settings: str, memory: int) -> None:
    """A worker's life: until the other end of the pipe is closed."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    keep_process()
    ours = discard_prints()
    _end_if_it_hangs(ours)
    runner = TaskRunner(Settings.of_text(settings))
    while True:
        try:
            task = task_of(pipe.recv_bytes().decode())
        except (EOFError, OSError):
            return
        try:
            answer = runner.do(task)
        except Exception:
            os.write(ours, traceback.format_exc().encode(errors="backslashreplace"))
            raise
        try:
            pipe.send_bytes(to_text(answer).encode())
        except OSError:
            return
