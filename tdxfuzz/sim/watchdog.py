"""Watches that runs go on: code under test may loop without a step, sleep, or take too long.

One thread of the process looks at the run that is under way a few times a second. If there was no
step for :data:`HANG_SECONDS`, it has a signal raise :class:`~tdxfuzz.sim.errors.Hang` in the code
that runs. If a time limit is over, the run is stopped at its next step. Code that catches every
exception, or that is inside of a function in C, cannot be ended from here: see
:mod:`tdxfuzz.cli.supervisor`, and :mod:`tdxfuzz.testing.hang_guard` for pytest.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from tdxfuzz.sim.errors import Hang
from tdxfuzz.sim.simulator import Simulator
from tdxfuzz.sim.standing import places_of

HANG_SECONDS = 5.0
"""A run without a step for so long hangs."""

TICK = 0.25
"""Seconds between two looks."""

AGAIN = 1.0
"""Seconds after which code that has caught the exception gets it once more."""

SIGNAL = signal.SIGVTALRM
"""Nobody else's: it is sent by hand, no timer is set."""


class _Watched:
    """The run that is under way, and the thread that makes it."""

    def __init__(self, sim: Simulator, outer: _Watched | None) -> None:
        self.sim = sim
        self.outer = outer
        self.thread = threading.get_ident()


class LastResort(Protocol):
    """What ends a process whose run cannot be ended by an exception."""

    def begins(self) -> None:
        """A run is under way from now on."""

    def goes_on(self) -> None:
        """It does not hang. To be said again soon, because silence ends the process."""

    def ends(self) -> None:
        """No run is under way: the process may be silent."""


class _Watchdog:
    """The thread, and what it looks at. ``deadline`` is on the clock of ``time.monotonic``."""

    def __init__(self) -> None:
        self.watched: _Watched | None = None
        self.deadline: float | None = None
        self.heartbeat: Callable[[bool], None] | None = None
        self.last_resort: LastResort | None = None
        self._thread: threading.Thread | None = None
        self._can_signal = False

    def start(self) -> None:
        """Have the thread run; called for each run, and cheap from the second time on."""
        if self._thread is None:
            if threading.current_thread() is threading.main_thread():
                signal.signal(SIGNAL, _struck)
                self._can_signal = True
            self._thread = threading.Thread(target=self._watch, name="tdxfuzz runs", daemon=True)
            self._thread.start()

    def forget(self) -> None:
        """A process that was forked has no such thread."""
        self._thread = None
        self.watched = None
        self.heartbeat = None
        self.last_resort = None

    def _watch(self) -> None:
        seen: tuple[object, int] = (None, 0)
        moved = struck = time.monotonic()
        while True:
            time.sleep(TICK)
            now = time.monotonic()
            watched = self.watched
            state = (watched, 0 if watched is None else watched.sim.clock)
            if watched is None or state != seen:
                seen, moved = state, now
            hangs = now - moved >= HANG_SECONDS
            if self.heartbeat is not None:
                self.heartbeat(hangs)
            if watched is None:
                continue
            if self.last_resort is not None and not hangs:
                self.last_resort.goes_on()
            if hangs and now - struck >= AGAIN:
                struck = now
                self._strike(watched)
            elif self.deadline is not None and now >= self.deadline:
                watched.sim.expired = True
                watched.sim.due = -1

    def _strike(self, watched: _Watched) -> None:
        """Raise :class:`Hang` in the thread of a run."""
        main = threading.main_thread().ident
        if watched.thread == main and self._can_signal:
            signal.pthread_kill(main, SIGNAL)
        else:
            kind = ctypes.py_object(Hang)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(watched.thread), kind)


_watchdog = _Watchdog()
os.register_at_fork(after_in_child=_watchdog.forget)


def _struck(number: int, frame: FrameType | None) -> None:
    """The signal's handler, called in the code that hangs."""
    watched = _watchdog.watched
    if watched is not None:
        watched.sim.stop(Hang(f"no step for {HANG_SECONDS:g} s", places_of(frame)))


@contextmanager
def watched(sim: Simulator) -> Iterator[None]:
    """In this block a run of ``sim``, or its set-up, has to go on.

    Raises:
        Hang: it made no step for :data:`HANG_SECONDS`.
        OutOfTime: the time limit is over.
    """
    _watchdog.start()
    outer = _watchdog.watched
    last_resort = _watchdog.last_resort
    if last_resort is not None:
        last_resort.begins()
    _watchdog.watched = _Watched(sim, outer)
    try:
        yield
    finally:
        _watchdog.watched = outer
        if outer is None and last_resort is not None:
            last_resort.ends()


def in_run() -> bool:
    """Whether code of a run, or of its set-up, is what runs here: in this process and thread."""
    watched = _watchdog.watched
    return watched is not None and watched.thread == threading.get_ident()


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Runs in this block are stopped at their next step when so much time has passed. None: no
    limit. A limit inside of another one can only be sooner.
    """
    outer = _watchdog.deadline
    if seconds is not None:
        until = time.monotonic() + seconds
        _watchdog.deadline = until if outer is None else min(until, outer)
    try:
        yield
    finally:
        _watchdog.deadline = outer


def on_heartbeat(heartbeat: Callable[[bool], None]) -> None:
    """From now on ``heartbeat`` is called at each look; its argument tells whether a run hangs."""
    _watchdog.start()
    _watchdog.heartbeat = heartbeat


def set_last_resort(last_resort: LastResort | None) -> None:
    """From now on this process has such a last resort, or none any more."""
    _watchdog.last_resort = last_resort
