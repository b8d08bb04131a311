"""What a user's design prints: kept apart from what a command says, and bounded.

A design may print from ``get``, a hundred thousand times a hunt. Standard output belongs to the
command, because scripts read JSON from it.
"""

from __future__ import annotations

import io
import sys
from multiprocessing import RawValue
from typing import TextIO

MOST = 10_000
"""Characters of a design that a command shows, all its processes together."""


class DesignPrints(io.TextIOBase):
    """Stands in for a standard stream while a design may print. ``real`` is that stream."""

    def __init__(self, real: TextIO, shown_on: TextIO) -> None:
        self.real = real
        self._shown_on = shown_on
        self._left = RawValue("q", MOST)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """The real stream's: rich asks for it when the reader of the output has gone."""
        return self.real.fileno()

    def write(self, text: str, /) -> int:
        left = self._left.value
        if left > 0:
            self._left.value = left - len(text)
            self._shown_on.write(text[:left])
            if left <= len(text):
                self._shown_on.write("\n(the design prints more; that is left out)\n")
        return len(text)

    def flush(self) -> None:
        self._shown_on.flush()


def keep_apart() -> None:
    """From now on only :func:`our_stdout` and :func:`our_stderr` are the command's own streams."""
    out, err = our_stdout(), our_stderr()
    sys.stdout = DesignPrints(out, err)
    sys.stderr = DesignPrints(err, err)


def our_stdout() -> TextIO:
    """Standard output, for what the command says."""
    stream = sys.stdout
    return stream.real if isinstance(stream, DesignPrints) else stream


def our_stderr() -> TextIO:
    """Standard error, for progress and errors of the command."""
    stream = sys.stderr
    return stream.real if isinstance(stream, DesignPrints) else stream
