"""What each CPU can still know: its local state, as a number.

A CPU's program is deterministic, so its local state is a function of what it has observed.
When it leaves a piece of code, the observations made there are forgotten but for what the
code returned: its local variables are gone. A search that remembers states asks for this;
other runs do not pay for it.
"""

from __future__ import annotations

import sys
from hashlib import blake2b
from typing import ClassVar

from tdxfuzz.sim.contents import with_its_own_hash
from tdxfuzz.sim.declared import Declared
from tdxfuzz.sim.retry_loop import IsOurs, counters_of, site_of

Pairs = tuple[tuple[int, int], ...]

Snapshot = tuple[tuple[int, int, Pairs, Pairs], ...]
"""For each CPU: what it knows, its operation, the marks it is inside of, its retry loops."""


ANOTHER_ROUND = 0x5EED


class LocalMemory:
    """One number per CPU: equal numbers, equal local states.

    Values are ints, and tuples of ints: their hashes are the same in every process.

    Args:
        cpus: how many there are.
        is_ours: the functions whose local variables count at a retry point; by default none.
    """

    __slots__ = ("_is_ours", "_marks", "_operations", "_retries", "known")

    STATE: ClassVar = Declared(derived="_marks _operations _retries known", fixed="_is_ours")

    def __init__(self, cpus: int, is_ours: IsOurs = lambda code: False) -> None:
        self._is_ours = is_ours
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

    def leave(self, cpu: int, *results: int) -> None:
        """The code entered last returned ``results``, and all else is forgotten."""
        told = (*map(with_its_own_hash, results),)
        self.known[cpu] = hash((self._come_out(cpu), told))

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
        """A retry point: from the second time on, what was learnt since the first is dropped,
        but for the local variables of the code under test.
        """
        # From here, for compiled code has no frames that could be counted.
        frame = sys._getframe()
        counters = counters_of(frame, self._is_ours)
        if counters is None:
            self.known[cpu] = hash((self.known[cpu], ANOTHER_ROUND))
            return
        entered = self._retries[cpu].setdefault(site_of(frame), self.known[cpu])
        self.known[cpu] = hash((entered, _number(counters))) if counters else entered

    def stand(self, cpu: int, number: int) -> None:
        """A retry point in the code entered last, all of whose local state shows in a number."""
        self.known[cpu] = hash((self._marks[cpu][-1][0], number))

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


def _number(values: tuple[object, ...]) -> int:
    """A number for values that may have strings in them, the same in every process."""
    return int.from_bytes(blake2b(repr(values).encode(), digest_size=7).digest())
