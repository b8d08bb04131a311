"""What a hunt tried, and what it did not: a clean hunt says nothing about that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tdxfuzz.abi import find
from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import KINDS
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import ALL_ENTRIES, MAX_CPUS
from tdxfuzz.run.session import checks_of

if TYPE_CHECKING:
    from tdxfuzz.engines.plan import HuntPlan
    from tdxfuzz.engines.statistics import Statistics

VP_ENTER = find("TDH.VP.ENTER").number

LONG = 32
"""Operations, those of the set-up included, from which a history counts as long."""


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


def not_tried(plan: HuntPlan, statistics: Statistics) -> list[str]:
    """What a hunt left out, in words; the most important first."""
    return list(_not_tried(plan, statistics))


def _not_tried(plan: HuntPlan, statistics: Statistics) -> Iterator[str]:
    tried = statistics.tried
    if not tried.entries:
        yield "2MB pages"
    elif ALL_ENTRIES not in tried.entries:
        yield f"2MB pages split into {ALL_ENTRIES} (they were split into {max(tried.entries)})"
    if not any(leaf == VP_ENTER for leaf, _ in statistics.calls):
        yield "running vCPUs"
    if plan.scenario is not None:
        yield f"programs other than {plan.scenario.name}"
    elif tried.operations < LONG:
        yield f"histories of more than {tried.operations} operations"
    if tried.cpus == 1:
        yield "more than one CPU"
    elif tried.cpus < MAX_CPUS:
        yield f"more than {tried.cpus} CPUs"
    faults = [kind for kind in KINDS if kind not in tried.faults]
    if faults:
        yield f"faults: {', '.join(faults)}"
    deaf = [check for check in checks_of(plan.design_name) if check not in statistics.checks]
    if deaf:
        yield f"checks: {', '.join(deaf)}"
    yield "reordering of memory accesses by a CPU"
