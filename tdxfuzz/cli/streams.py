"""Standard streams that any text can be written to, whatever the environment is."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

STREAMS = ("stdin", "stdout", "stderr")


def make_usable() -> None:
    """Open the null device in place of a standard stream that was closed, and have characters that
    the encoding lacks written as escapes.

    Without it a file or a pipe of the command could get the number of a closed stream.
    """
    for number, name in enumerate(STREAMS):
        mode = "r" if name == "stdin" else "w"
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            # It stays open for the rest of the process.
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
        stream = getattr(sys, name)
        if mode == "w" and isinstance(stream, io.TextIOWrapper):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")
