"""Ctrl-C in a search that remembers: it ends between two runs, when what it remembers is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noted() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C is only noted: what this gives tells whether it came. The second one
    interrupts at once.

    Raises:
        KeyboardInterrupt: at the second Ctrl-C.
    """
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    # Other threads get no signals, and a handler that somebody else has set is theirs.
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: came
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
