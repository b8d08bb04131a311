"""Who has interrupted: the user, or code under test that raises what Ctrl-C raises."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from opcode import opmap

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, and the signals by which service managers, batch systems and closed terminals ask a
program to end."""

RAISE = opmap["RAISE_VARARGS"]
"""The instruction of ``raise``. Python never looks for signals in it, so no Ctrl-C comes there."""


@contextmanager
def deaf_children() -> Iterator[None]:
    """A process that is started in this block never hears :data:`INTERRUPTIONS`. They go to the
    whole group of processes, and only the one that leads it is to act on them. One that comes here
    meanwhile is delivered afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)
    # The mask alone is not enough, because multiprocessing may lift it.
    handlers = {one: signal.signal(one, signal.SIG_IGN) for one in INTERRUPTIONS}
    try:
        yield
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def is_ctrl_c(error: BaseException) -> bool:
    """Whether an exception comes from the user's Ctrl-C, or a signal like it: nobody's ``raise``
    has made it, but for that of the signal's handler.
    """
    if type(error) is not KeyboardInterrupt:
        return False
    at = error.__traceback__
    if at is None:
        return True
    while at.tb_next is not None:
        at = at.tb_next
    code = at.tb_frame.f_code
    if any(code is getattr(signal.getsignal(one), "__code__", None) for one in INTERRUPTIONS):
        return True
    return code.co_code[at.tb_lasti] != RAISE
