"""Ends a process of pytest in which a run hangs that no exception can end.

A design may catch every exception, or wait inside of a function in C that lets no other thread run.
So a helper process looks whether the run under way goes on. If it does not, the helper has pytest
write its stack down, prints one line, and ends pytest.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import signal
import subprocess
import sys

from tdxfuzz.sim.watchdog import HANG_SECONDS
from tdxfuzz.testing import hang_helper

PATIENCE = 3.0
"""Seconds that a run which hangs has to end by the exception."""

TICKS = round((HANG_SECONDS + PATIENCE) / hang_helper.TICK)

WHERE = signal.SIGRTMAX - 1
"""Has the process write its stack. Nobody else's."""


class HangGuard:
    """A last resort of the watchdog. The helper starts with the first run.

    Args:
        stderr: a descriptor that pytest does not capture; ours from now on.
    """

    def __init__(self, stderr: int) -> None:
        self._stderr = stderr
        self._state = os.memfd_create("state")
        os.truncate(self._state, mmap.PAGESIZE)
        self._memory = mmap.mmap(self._state, mmap.PAGESIZE)
        self._told = memoryview(self._memory).cast("Q")
        self._helper: subprocess.Popen[bytes] | None = None

    def begins(self) -> None:
        if self._helper is None:
            self._start()
        self._told[0] = 1
        self._told[1] += 1

    def goes_on(self) -> None:
        self._told[1] += 1

    def ends(self) -> None:
        self._told[0] = 0

    def close(self) -> None:
        """The process ends as it should."""
        if self._helper is not None:
            self._helper.kill()
            self._helper.wait()
            faulthandler.unregister(WHERE)
        os.close(self._state)
        os.close(self._stderr)

    def _start(self) -> None:
        stack = os.memfd_create("stack")
        faulthandler.register(WHERE, stack)
        told = (os.getpid(), self._state, stack, WHERE, TICKS)
        self._helper = subprocess.Popen(
            [sys.executable, "-I", "-S", hang_helper.__file__, *map(str, told)],
            pass_fds=(self._state, stack),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
        )
