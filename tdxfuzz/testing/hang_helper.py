"""The process that ends a process of pytest in which a run hangs, and says where.

:mod:`tdxfuzz.testing.hang_guard` starts this file by its path, so it imports nothing of this
package and starts quickly.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

TICK = 0.25
"""Seconds between two looks."""

WRITING = 0.5
"""Seconds that writing a stack takes at most."""

_LINE = re.compile(r'^ *File "(.*)", line (\d+) in (.*)$')


def place(stack: str) -> str:
    """The innermost line of a stack that is not in this package or in Python's own library, and
    rather one that is nobody's library at all; as words for a message.
    """
    ours, library = f"{Path(__file__).parents[1]}{os.sep}", f"{Path(os.__file__).parent}{os.sep}"
    found = [match for line in stack.splitlines() if (match := _LINE.match(line))]
    theirs = [match for match in found if not match[1].startswith((ours, library, "<"))]
    own = [match for match in theirs if "site-packages" not in Path(match[1]).parts]
    for match in own or theirs:
        return f" in {match[3]} ({match[1]}:{match[2]})"
    return ""


def main(parent: int, state: int, stack: int, where: int, ticks: int) -> None:
    """Look at a process of pytest until it is gone, or has to be ended.

    Args:
        parent: its process id.
        state: descriptor of what it tells: whether a run is under way, and a count.
        stack: descriptor of the file that it writes its stack to.
        where: the signal that has it do so.
        ticks: so many looks without news are too many. They are counted, not timed, because the
            whole machine may have slept.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seen, silent = b"", 0
    while silent < ticks:
        time.sleep(TICK)
        if os.getppid() != parent:
            return
        now = os.pread(state, 16, 0)
        silent = silent + 1 if now == seen and any(now[:8]) else 0
        seen = now
    os.kill(parent, where)
    time.sleep(WRITING)
    text = os.pread(stack, 1 << 16, 0).decode(errors="replace")
    print(
        f"\ntdxfuzz: a design hangs{place(text)}, and catches every exception or is in C code; "
        "pytest is ended",
        file=sys.stderr,
        flush=True,
    )
    os.kill(parent, signal.SIGKILL)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
