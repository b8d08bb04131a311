"""Ctrl-C, and signals that mean the same: what there is by then is told and written.

SIGTERM comes from service managers, containers and batch systems, SIGHUP when a terminal is
closed. One wish to end may arrive more than once: ``timeout`` signals its child and then the whole
group of processes, and the process above a command hands on what it gets. So what follows within
:data:`SAME` seconds is the same wish.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tdxfuzz.sim import INTERRUPTIONS

SAME = 0.5
"""Seconds within which a second signal is taken for the first one."""

_heard_at = float("-inf")


def is_new_wish() -> bool:
    """Whether a signal that comes now is not a repetition of the one before."""
    global _heard_at
    now, before = time.monotonic(), _heard_at
    if now - before < SAME:
        return False
    _heard_at = now
    return True


def interrupt(number: int, frame: FrameType | None) -> None:
    """The handler of all of them: what Python does at Ctrl-C."""
    if is_new_wish():
        raise KeyboardInterrupt


def take_for_ctrl_c() -> None:
    """From now on each of them interrupts this process. One that it was told to ignore, as
    ``nohup`` does, stays ignored.
    """
    handle(interrupt)


def handle(
    handler: Callable[[int, FrameType | None], None],
) -> dict[signal.Signals, object]:
    """Have a function handle those that are not ignored; the handlers before."""
    before: dict[signal.Signals, object] = {}
    for one in INTERRUPTIONS:
        if signal.getsignal(one) is not signal.SIG_IGN:
            before[one] = signal.signal(one, handler)
    return before


def put_back(before: dict[signal.Signals, object]) -> None:
    """Undo :func:`handle`."""
    for one, handler in before.items():
        # What getsignal() gave; its type is private to the stubs.
        signal.signal(one, handler)  # type: ignore[arg-type]


@contextmanager
def noted() -> Iterator[Callable[[], bool]]:
    """Inside, the first of them is only noted: what this gives tells whether it came. The second
    one interrupts at once.

    Raises:
        KeyboardInterrupt: at the second.
    """
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if not is_new_wish():
            return
        if came:
            raise KeyboardInterrupt
        came = True

    # Other threads get no signals, and a handler that somebody else has set is theirs.
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(
        signal.SIGINT
    ) in (signal.default_int_handler, interrupt, signal.SIG_IGN)
    before = handle(note) if ours else {}
    try:
        yield lambda: came
    finally:
        put_back(before)
