"""A process above the command, for code under test that cannot be ended from inside.

A design may catch every exception, or wait inside of a function written in C. Then no exception
gets it out of its loop. So a command that runs designs works in a child process. The child tells
through a pipe that it is alive, and whether a run of it hangs. If a run hangs for longer than the
exception should have taken, or nothing is told any more, the parent has the child write down where
it is, and ends it. A child that exits without having said that it is done was ended by the design.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from tdxfuzz.cli.design_prints import our_stderr, our_stdout
from tdxfuzz.cli.exit_codes import BROKEN
from tdxfuzz.cli.output import print_error
from tdxfuzz.sim import INTERRUPTIONS
from tdxfuzz.sim.watchdog import HANG_SECONDS, on_heartbeat
from tdxfuzz.testing.hang_helper import place

PATIENCE = 3.0
"""Seconds that a run which hangs has to end by the exception."""

WHERE = signal.SIGUSR1
"""Has the child write its stack."""

WRITING = 0.5
"""Seconds that this takes at most."""

AWAITED = (signal.SIGCHLD, *INTERRUPTIONS)

WHO_KILLS = "by a design, by you, or for want of memory"
"""All that is known of who has sent a SIGKILL."""

ALIVE, HANGS, DONE = b".", b"!", b"d"


def fix_hash_seed() -> None:
    """Begin anew with a fixed hash seed, unless the user has chosen one: a set of strings has the
    same order in each process then, so a file replays.
    """
    if "PYTHONHASHSEED" not in os.environ:
        os.environ["PYTHONHASHSEED"] = "0"
        # Python at its start would answer Ctrl-C with a traceback. ``entry`` unblocks it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def supervise() -> Callable[[int], NoReturn]:
    """Go on in a child process, which ends by calling the result with its exit code. In the parent
    this never returns: it exits as the child does.
    """
    stack = os.memfd_create("stack")
    told, tells = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    parent = os.getpid()
    child = os.fork()
    if child:
        os.close(tells)
        os.set_blocking(told, False)
        _exit_like(_watch(child, told, stack))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(told)
    os.set_blocking(tells, False)
    faulthandler.enable(stack, all_threads=False)
    faulthandler.register(WHERE, stack, all_threads=False)
    own_stdout()
    on_heartbeat(lambda hangs: _tell(tells, hangs, parent))

    def done(code: int) -> NoReturn:
        for stream in (our_stdout(), our_stderr()):
            with suppress(OSError):
                stream.flush()
        with suppress(OSError):
            os.write(tells, DONE)
        # Threads that a design has left behind do not keep the process.
        os._exit(code)

    return done


def own_stdout() -> None:
    """What code under test writes to the standard output of the process goes to standard error."""
    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    # It stays open for the rest of the process.
    sys.stdout = open(os.dup(1), "w", encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
    os.dup2(2, 1)


def _tell(pipe: int, hangs: bool, parent: int) -> None:
    if os.getppid() != parent:
        os._exit(BROKEN)  # nobody is left who could use what we find
    try:
        os.write(pipe, HANGS if hangs else ALIVE)
    except OSError:
        return


def _watch(child: int, told: int, stack: int) -> int:
    """The wait status of the child, which is ended if it hangs."""
    silent_since = alive_at = time.monotonic()
    is_done = False
    while True:
        got = signal.sigtimedwait(AWAITED, PATIENCE / 4)
        if got is not None and got.si_signo != signal.SIGCHLD and got.si_code <= 0:
            # A signal of the terminal has gone to the child already.
            os.kill(child, got.si_signo)
        finished, status = os.waitpid(child, os.WNOHANG)
        now = time.monotonic()
        news = _read(told)
        is_done = is_done or DONE in news
        if finished:
            return status if is_done or _was_asked(status) else _ended_inside(status, stack)
        if news:
            silent_since = now
        if ALIVE in news:
            alive_at = now
        if HANGS in news and now - alive_at > PATIENCE:
            return _end(child, stack)
        if now - silent_since > HANG_SECONDS + PATIENCE:
            return _end(child, stack)


def _was_asked(status: int) -> bool:
    """Whether somebody outside has ended the child by a signal."""
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in AWAITED


def _ended_inside(status: int, stack: int) -> int:
    how = f"exit code {os.WEXITSTATUS(status)}"
    if os.WIFSIGNALED(status):
        how = signal.Signals(os.WTERMSIG(status)).name
        if how == "SIGKILL":
            print_error(f"the command was ended by SIGKILL: {WHO_KILLS}")
            return BROKEN << 8
    print_error(f"a design has ended the process{place_in(stack)[1]}: {how}")
    return BROKEN << 8


def _read(pipe: int) -> bytes:
    try:
        return os.read(pipe, 1 << 12)
    except BlockingIOError:
        return b""


def _end(child: int, stack: int) -> int:
    """Ask a child where it is, end it, and say so."""
    os.kill(child, WHERE)
    time.sleep(WRITING)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print_error(f"a design hangs{place_in(stack)[1]}, and catches every exception or is in C code")
    return BROKEN << 8


def place_in(stack: int) -> tuple[str, str]:
    """What :mod:`faulthandler` has written into a file, and where in code under test that is."""
    os.lseek(stack, 0, os.SEEK_SET)
    text = os.read(stack, 1 << 16).decode(errors="replace")
    return text, place(text)


def _exit_like(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(os.waitstatus_to_exitcode(status))
