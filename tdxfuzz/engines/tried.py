"""What was in the cases of a hunt."""

from __future__ import annotations

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op


class Tried:
    """What was in the cases of a hunt.

    ``cpus`` and ``operations`` are the most of any case, ``faults`` the kinds that were injected,
    and ``entries`` the numbers of pages that 2MB pages were split into: none without 2MB pages.
    """

    def __init__(self) -> None:
        self.cpus = 0
        self.operations = 0
        self.faults: set[str] = set()
        self.entries: set[int] = set()
        self._last: tuple[tuple[Op, ...], ...] | None = None

    def add(self, case: Case) -> None:
        """Take note of a case."""
        self.faults.update(fault.kind for fault in case.faults)
        # Most cases differ from the one before in their order alone.
        if case.programs is self._last:
            return
        self._last = case.programs
        self.cpus = max(self.cpus, case.world.cpus)
        self.operations = max(self.operations, len(case.setup) + case.operations)
        if any(op.is_huge for ops in (case.setup, *case.programs) for op in ops):
            self.entries.add(case.world.entries)

    def merge(self, other: Tried) -> None:
        """What was in another's cases was in these, too."""
        self.cpus = max(self.cpus, other.cpus)
        self.operations = max(self.operations, other.operations)
        self.faults |= other.faults
        self.entries |= other.entries
