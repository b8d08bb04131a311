"""What designs print while a campaign runs them: nothing of it is shown or kept.

A design may print from ``get``, for hours. `tdxfuzz hunt` shows the first of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

STREAMS = (1, 2)


def discard_prints() -> int:
    """From now on what this process prints goes nowhere. Where its errors can still be written."""
    ours = os.dup(2)
    _point_at_nothing()
    return ours


@contextmanager
def nothing_printed() -> Iterator[None]:
    """What is printed in this block, by Python or by C, goes nowhere."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(stream) for stream in STREAMS]
    _point_at_nothing()
    try:
        with (
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            yield
    finally:
        for number, copy in zip(STREAMS, kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _point_at_nothing() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in STREAMS:
        os.dup2(nowhere, number)
    os.close(nowhere)
