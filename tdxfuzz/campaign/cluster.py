"""Workers of a Dask cluster: they may join, leave and die while a campaign runs.

Needs the extra ``[cluster]``. A task is JSON text for a function of this package; no object of
ours is sent. Dask gives the task of a worker that died to another; should it give up, the
coordinator does so again. A number is counted once, however often it is answered. The store stays
with the coordinator. A user's design file must lie at the same path on every machine.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache

from distributed import Client, Future, wait
from distributed.client import FutureCancelledError, FuturesCancelledError
from distributed.security import Security

from tdxfuzz.campaign.settings import Settings
from tdxfuzz.campaign.task import Task, answer_of, task_of, to_text
from tdxfuzz.campaign.tls import Tls
from tdxfuzz.campaign.work import TaskRunner
from tdxfuzz.campaign.workers import FinishedTask, WorkersGoneError

RUNNING = "running"
"""The status of a client that reaches its scheduler."""


class ClusterWorkers:
    """Workers behind a Dask scheduler.

    Args:
        client: connected; closed with us.
        settings: told with each task.
        patience: seconds after which a task is given up and the workers doing it restarted.
    """

    def __init__(self, client: Client, settings: Settings, patience: float) -> None:
        # What goes wrong is ours to say, in a line.
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._client = client
        self._address = client.scheduler.address
        self._settings = settings.text()
        self._patience = patience
        self._running: dict[Future, tuple[Task, float]] = {}

    def free(self) -> int:
        # None waits in a queue: it would be blamed for the one before it.
        return self.size() - len(self._running)

    def size(self) -> int:
        with self._scheduler():
            return sum(self._client.nthreads().values())

    def submit(self, task: Task) -> None:
        with self._scheduler():
            future = self._client.submit(_do, self._settings, to_text(task), pure=False)
        self._running[future] = (task, time.monotonic())

    def wait(self, seconds: float) -> Sequence[FinishedTask]:
        if not self._running:
            # No worker is there yet, or none any more.
            time.sleep(seconds)
            return []
        with self._scheduler():
            try:
                wait(list(self._running), timeout=seconds, return_when="FIRST_COMPLETED")
            except TimeoutError:
                return self._overdue()
            except FuturesCancelledError:
                if self._client.status != RUNNING:
                    return []
            return [*self._finished(), *self._overdue()]

    def rss(self) -> int:
        workers = self._client.scheduler_info().get("workers", {})
        return sum(int(one.get("metrics", {}).get("memory", 0)) for one in workers.values())

    def close(self) -> None:
        # With the scheduler gone there is nothing to cancel, and Dask says so in many ways.
        with suppress(Exception):
            self._client.cancel(list(self._running), force=True)
        self._client.close()

    @contextmanager
    def _scheduler(self) -> Iterator[None]:
        """The scheduler is there, or comes back soon: what it has forgotten is submitted again.

        Raises:
            WorkersGoneError: it does not come back.
        """
        if self._client.status != RUNNING:
            # The client itself tries to reach it until its timeout, and closes then.
            while self._client.status == "connecting":
                time.sleep(0.1)
            if self._client.status != RUNNING:
                raise self._gone()
            self._submit_again()
        try:
            yield
        except Exception:
            if self._client.status == RUNNING:
                raise
            raise self._gone() from None

    def _submit_again(self) -> None:
        forgotten = [future for future in self._running if future.cancelled()]
        for future in forgotten:
            task, _ = self._running.pop(future)
            self.submit(task)

    def _gone(self) -> WorkersGoneError:
        return WorkersGoneError(
            f"the scheduler at {self._address} is gone; what was counted is kept. Start it and its "
            "workers again, then the same command continues"
        )

    def _finished(self) -> list[FinishedTask]:
        finished = []
        for future in [future for future in self._running if future.done()]:
            task, _ = self._running.pop(future)
            if future.status == "finished":
                finished.append(FinishedTask(task, answer_of(future.result())))
            else:
                finished.append(FinishedTask(task, None, _problem(future)))
        return finished

    def _overdue(self) -> list[FinishedTask]:
        """Tasks given out too long ago: their workers are restarted."""
        now = time.monotonic()
        late = [f for f, (_, began) in self._running.items() if now - began >= self._patience]
        if not late:
            return []
        where = self._client.processing()
        keys = {future.key for future in late}
        stuck = [address for address, doing in where.items() if keys & set(doing)]
        given_up = []
        for future in late:
            task, _ = self._running.pop(future)
            given_up.append(FinishedTask(task, None, f"no answer within {self._patience:g} s"))
        self._client.cancel(late, force=True)
        # A worker may have left of its own accord meanwhile.
        with suppress(KeyError):
            self._client.restart_workers(stuck, raise_for_error=False)
        return given_up


def security_of(tls: Tls) -> Security:
    """Both sides prove who they are, and nothing is sent in the clear."""
    return Security(
        require_encryption=True,
        tls_ca_file=str(tls.ca_file),
        tls_client_cert=str(tls.cert),
        tls_client_key=str(tls.key or tls.cert),
    )


def _problem(future: Future) -> str:
    try:
        error = future.exception()
    except FutureCancelledError as cancelled:
        error = cancelled
    return f"the cluster gave up the task ({type(error).__name__}: {error})"


@lru_cache(maxsize=4)
def _runner(settings: str) -> TaskRunner:
    return TaskRunner(Settings.of_text(settings))


def _do(settings: str, task: str) -> str:
    """What a cluster's worker runs."""
    return to_text(_runner(settings).do(task_of(task)))
