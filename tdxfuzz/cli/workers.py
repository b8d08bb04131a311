"""Processes that do parts of a command's work, so that all cores are used.

A worker is forked from the command: it has the designs that the command has loaded. It gets one
request after the other and answers each; answers are taken in the order of the requests, so that
what a command says does not depend on how many workers there are. They are pickled, because they
come from this program and not from a file.

Ctrl-C, SIGTERM and SIGHUP go to the whole group of processes. Workers ignore them; the command
tells them to stop, and they answer with what they have. A worker whose command is gone ends. Where
there is to be only one worker, the command does the work itself.
"""

from __future__ import annotations

import faulthandler
import mmap
import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from tdxfuzz.cli.design_prints import our_stderr, our_stdout
from tdxfuzz.cli.errors import UsageProblem
from tdxfuzz.cli.exit_codes import BROKEN
from tdxfuzz.cli.supervisor import PATIENCE, WHO_KILLS, place_in
from tdxfuzz.sim import HarnessError, deaf_children
from tdxfuzz.sim.watchdog import HANG_SECONDS, on_heartbeat

Q = TypeVar("Q")
A = TypeVar("A")

Tell = Callable[[object], None]
Stop = Callable[[], bool]
Serve = Callable[[Q, Stop, Tell], A]
Parts = tuple[type[BaseException], tuple[object, ...], dict[str, object]]
"""Answers a request. It is given what tells whether to stop, and may tell how far it is."""

TOLD, ANSWERED, FAILED = range(3)

TELL_AGAIN = 0.1
"""Seconds between two times that a worker tells how far it is."""

LOOK_AGAIN = 0.2
"""Seconds between two looks whether Ctrl-C came."""

AHEAD = 4
"""Requests for each worker whose answers may be waiting for an earlier one."""

LEAVE_SECONDS = 5.0


class LostWorkerError(HarnessError):
    """A worker has ended without an answer: a design has ended it, or somebody outside."""


class Pending(Generic[A]):
    """An answer that may have come."""

    def __init__(self) -> None:
        self.is_there = False
        self._answer: A | None = None
        self._error: BaseException | None = None

    def come(self, answer: Any = None, error: BaseException | None = None) -> None:
        """The answer is there, or what was raised in its place."""
        self.is_there, self._answer, self._error = True, answer, error

    def take(self) -> A:
        """The answer.

        Raises:
            LostWorkerError: there will be none.
            BaseException: whatever the worker raised.
        """
        if self._error is not None:
            raise self._error
        return cast(A, self._answer)


class Worker(Generic[Q, A]):
    """Does what it is asked within the command. ``told`` is what it has told last about the request
    that it works on.
    """

    is_busy = False

    def __init__(self, serve: Serve[Q, A], stop: Stop, look: Callable[[], None]) -> None:
        self.told: object = None
        self._serve = serve
        self._stop = stop
        self._look = look

    def ask(self, request: Q) -> Pending[A]:
        """Have it answer a request; it must not be busy."""
        pending: Pending[A] = Pending()
        try:
            pending.come(self._serve(request, self._stop, self._tell))
        except BaseException as error:
            pending.come(error=error)
        self.told = None
        return pending

    def close(self) -> None:
        """End it, whatever it does."""

    def _tell(self, what: object) -> None:
        self.told = what
        self._look()


class WorkerProcess(Worker[Q, A]):
    """Does it in a process of its own.

    Args:
        what: it does, for an error.
        serve: answers a request.
        stop: where the first byte tells whether to stop.
        others: earlier ones. The process inherits the ends of their pipes.
    """

    def __init__(
        self,
        what: str,
        serve: Serve[Q, A],
        stop: mmap.mmap,
        others: Sequence[WorkerProcess[Any, Any]],
    ) -> None:
        self.told = None
        self._what = what
        self._pending: Pending[A] | None = None
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self._stack = os.memfd_create("stack")
        inherited = [self.pipe, *(other.pipe for other in others)]
        # What is buffered would be written by both processes.
        # What a stream cannot take is told where it is written.
        with suppress(OSError):
            our_stdout().flush()
            our_stderr().flush()
        self._process = context.Process(
            target=_live, args=(theirs, inherited, serve, stop, os.getpid(), self._stack)
        )
        with deaf_children():
            self._process.start()
        theirs.close()

    @property
    # `Worker` declares an attribute; a property that nobody sets is enough here.
    def is_busy(self) -> bool:  # type: ignore[override]
        return self._pending is not None

    def ask(self, request: Q) -> Pending[A]:
        assert self._pending is None
        pending = self._pending = Pending()
        try:
            self.pipe.send(request)
        except OSError:
            self._lost(pending)
        return pending

    def hear(self) -> None:
        """Take what it has to say by now."""
        pending = self._pending
        assert pending is not None
        try:
            kind, what = self.pipe.recv()
        except (EOFError, OSError):
            self._lost(pending)
            return
        if kind == TOLD:
            self.told = what
            return
        self._pending = self.told = None
        if kind == FAILED:
            pending.come(error=_from_parts(what))
        else:
            pending.come(what)

    def close(self) -> None:
        self._process.kill()
        self._process.join(LEAVE_SECONDS)
        self.pipe.close()
        if self._stack >= 0:
            os.close(self._stack)
            self._stack = -1

    def _lost(self, pending: Pending[A]) -> None:
        self._pending = self.told = None
        self._process.join(LEAVE_SECONDS)
        stack, place = place_in(self._stack)
        code = self._process.exitcode or 0
        if stack.startswith("Timeout"):
            problem = f"a design hangs{place}, and catches every exception or is in C code"
        elif code >= 0:
            problem = f"a design has ended the process{place}: exit code {code}"
        elif code in (-signal.SIGKILL, -signal.SIGTERM):
            name = signal.Signals(-code).name
            problem = f"a worker was ended by {name}: {WHO_KILLS}"
        else:
            problem = f"a design has ended the process{place}: {signal.Signals(-code).name}"
        pending.come(error=LostWorkerError(f"{self._what}: {problem}"))


class Workers:
    """All workers of a command; a context, at whose end they are gone.

    Args:
        most: how many may be busy at a time.
        stop: whether the user has interrupted the command.
        look: called again and again while an answer is waited for.

    ``ahead`` is how many answers may wait for an earlier one.
    """

    def __init__(self, most: int, stop: Stop, look: Callable[[], None] = lambda: None) -> None:
        self.most = most
        self.stop = stop
        self.look = look
        self._flag = mmap.mmap(-1, 1)
        self._all: list[Worker[Any, Any]] = []
        self.ahead = 1 if most == 1 else AHEAD * most

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for worker in self._all:
            worker.close()

    @property
    def is_free(self) -> bool:
        """Whether one more may get something to do."""
        return len(self._busy) < self.most

    @property
    def told(self) -> list[object]:
        """What those that work have told last."""
        return [worker.told for worker in self._all if worker.told is not None]

    @property
    def _processes(self) -> list[WorkerProcess[Any, Any]]:
        return [worker for worker in self._all if isinstance(worker, WorkerProcess)]

    @property
    def _busy(self) -> list[WorkerProcess[Any, Any]]:
        return [worker for worker in self._processes if worker.is_busy]

    def new(self, what: str, serve: Serve[Q, A]) -> Worker[Q, A]:
        """One more worker; ``what`` it does is named if it is lost."""
        worker: Worker[Q, A]
        if self.most == 1:
            worker = Worker(serve, self.stop, self.look)
        else:
            worker = WorkerProcess(what, serve, self._flag, self._processes)
        self._all.append(worker)
        return worker

    def end(self, worker: Worker[Q, A]) -> None:
        """There is nothing more for a worker to do."""
        self._all.remove(worker)
        worker.close()

    def wait(self) -> None:
        """Until a worker says something, or for a short time."""
        if self.stop():
            self._flag[0] = 1
        busy = {id(worker.pipe): worker for worker in self._busy}
        for pipe in wait([worker.pipe for worker in busy.values()], LOOK_AGAIN):
            busy[id(pipe)].hear()
        self.look()

    def in_order(self, what: str, serve: Serve[Q, A], requests: Iterable[Q]) -> Iterator[A]:
        """The answers to requests, in their order. When the user has interrupted the command,
        those that are under way are answered, and no others.

        Raises:
            LostWorkerError: a worker ended without its answer.
            BaseException: whatever a request raised.
        """
        crew: list[Worker[Q, A]] = []
        asked: deque[Pending[A]] = deque()
        left = iter(requests)
        more = True
        while True:
            while more and self.is_free and len(asked) < self.ahead and not self.stop():
                try:
                    request = next(left)
                except StopIteration:
                    more = False
                    break
                worker = next((one for one in crew if not one.is_busy), None)
                if worker is None:
                    worker = self.new(what, serve)
                    crew.append(worker)
                asked.append(worker.ask(request))
            if not asked:
                break
            if asked[0].is_there:
                yield asked.popleft().take()
            else:
                self.wait()
        for worker in crew:
            self.end(worker)


def _live(
    pipe: Connection,
    inherited: list[Connection],
    serve: Serve[Any, Any],
    stop: mmap.mmap,
    parent: int,
    stack: int,
) -> None:
    """A worker's life: until the other end of the pipe is closed."""
    for end in inherited:
        end.close()
    _end_if_it_hangs(parent, stack)
    last = 0.0

    def tell(what: object) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TELL_AGAIN:
            last = now
            pipe.send((TOLD, what))

    while True:
        try:
            request = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            pipe.send((ANSWERED, serve(request, lambda: stop[0] != 0, tell)))
        except BaseException as error:
            pipe.send((FAILED, _in_parts(error)))


def _end_if_it_hangs(parent: int, stack: int) -> None:
    """Code under test that catches every exception, or is inside of a function in C, ends the
    worker: a thread that needs no interpreter does it, and writes down where it was.
    """
    faulthandler.enable(stack, all_threads=False)
    hung = False

    def heartbeat(hangs: bool) -> None:
        nonlocal hung
        if os.getppid() != parent:
            os._exit(BROKEN)  # nobody is left who could use what we find
        if not hangs or not hung:
            seconds = PATIENCE if hangs else HANG_SECONDS + PATIENCE
            faulthandler.dump_traceback_later(seconds, file=stack, exit=True)
        hung = hangs

    # Code that holds the interpreter from the start leaves no time for a first look.
    heartbeat(False)
    on_heartbeat(heartbeat)


def _in_parts(error: BaseException) -> Parts:
    """An error as it can be sent, with its traceback if it is a mistake of ours. Its constructor is
    not called again, because that of many errors takes something else than the message.
    """
    if not isinstance(error, HarnessError | UsageProblem | OSError):
        error.add_note("".join(traceback.format_exception(error)))
    parts = type(error), error.args, vars(error)
    try:
        _from_parts(pickle.loads(pickle.dumps(parts)))
    except Exception:
        return RuntimeError, (f"{type(error).__name__}: {error}",), {}
    return parts


def _from_parts(parts: Parts) -> BaseException:
    kind, arguments, attributes = parts
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(attributes)
    return error
