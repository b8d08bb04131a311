"""What each CPU can still know: its local state, as a number.

A CPU's program is deterministic, so its local state is a function of what it has observed.
When it leaves a piece of code, the observations made there are forgotten but for what the
code returned: its local variables are gone. A search that remembers states asks for this;
other runs do not pay for it.
"""

from __future__ import annotations

import sys
from functools import cache
from types import CodeType, FrameType
from zlib import crc32

Pairs = tuple[tuple[int, int], ...]

Snapshot = tuple[tuple[int, int, Pairs, Pairs], ...]
"""For each CPU: what it knows, its operation, the marks it is inside of, its retry loops."""


class LocalMemory:
    """One number per CPU: equal numbers, equal local states.

    Values are ints, and tuples of ints: their hashes are the same in every process.
    """

    __slots__ = ("_marks", "_operations", "_retries", "known")

    def __init__(self, cpus: int) -> None:
        self.known = [0] * cpus
        self._operations = [0] * cpus
        self._marks: list[list[tuple[int, int]]] = [[] for _ in range(cpus)]
        self._retries: list[dict[int, int]] = [{} for _ in range(cpus)]

    def learn(self, cpu: int, what: object) -> None:
        """A CPU observed something."""
        self.known[cpu] = hash((self.known[cpu], what))

    def enter(self, cpu: int) -> None:
        """A CPU enters a piece of code that it will :meth:`leave`."""
        self._marks[cpu].append((self.known[cpu], len(self._retries[cpu])))

    def leave(self, cpu: int, result: object) -> None:
        """The code entered last returned ``result``, and all else is forgotten."""
        self.known[cpu] = hash((self._come_out(cpu), result))

    def drop(self, cpu: int) -> None:
        """The code entered last was in vain: nothing is left of it."""
        self.known[cpu] = self._come_out(cpu)

    def _come_out(self, cpu: int) -> int:
        """What was known at the mark entered last. Loops inside are over: the next time the
        same lines are another loop.
        """
        known, loops = self._marks[cpu].pop()
        retries = self._retries[cpu]
        while len(retries) > loops:
            retries.popitem()
        return known

    def begin_operation(self, cpu: int) -> None:
        """The next line of a CPU's program: nothing from the lines before is known."""
        self._operations[cpu] += 1
        self._retries[cpu].clear()
        self.known[cpu] = self._operations[cpu]

    def retry(self, cpu: int) -> None:
        """A retry point: from the second time on, what was learnt since the first is dropped."""
        # From here, for compiled code has no frames that could be counted.
        site = _site(sys._getframe())
        self.known[cpu] = self._retries[cpu].setdefault(site, self.known[cpu])

    def snapshot(self) -> Snapshot:
        """All of it, to go on from elsewhere."""
        return tuple(
            (known, operation, tuple(marks), tuple(retries.items()))
            for known, operation, marks, retries in zip(
                self.known, self._operations, self._marks, self._retries, strict=True
            )
        )

    def restore(self, snapshot: Snapshot) -> None:
        """What :meth:`snapshot` gave at the same point of another run."""
        self.known = [known for known, _, _, _ in snapshot]
        self._operations = [operation for _, operation, _, _ in snapshot]
        self._marks = [list(marks) for _, _, marks, _ in snapshot]
        self._retries = [dict(retries) for _, _, _, retries in snapshot]


def _site(frame: FrameType | None) -> int:
    """Where a retry loop is: the instruction that it is at, and those of all its callers."""
    calls: list[tuple[int, int]] = []
    while frame is not None:
        calls.append((_number_of(frame.f_code), frame.f_lasti))
        frame = frame.f_back
    return hash(tuple(calls))


@cache
def _number_of(code: CodeType) -> int:
    """A number for a function, the same in every process."""
    return crc32(f"{code.co_qualname} {code.co_firstlineno}".encode())
