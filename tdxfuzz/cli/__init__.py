"""The command line: thin. No other room imports it."""

from __future__ import annotations

import os
import signal
from types import FrameType

from tdxfuzz.cli.exit_codes import UNKNOWN


def entry() -> None:
    """Entry point of the process. What the command needs is imported here: that takes a second, and
    a Ctrl-C in it is told as a later one is.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end_early)
        # It was blocked if this process has begun anew.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    from tdxfuzz.cli.main import entry as begin

    begin()


def _end_early(number: int, frame: FrameType | None) -> None:
    # An exception would come out of the middle of an import, which may make another one of it.
    os.write(2, b"\ntdxfuzz: interrupted\n")
    os._exit(UNKNOWN)
