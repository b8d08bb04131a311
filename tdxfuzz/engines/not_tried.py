"""What a hunt did not try, in words: a clean hunt says nothing about that."""

from __future__ import annotations

from collections.abc import Iterator

from tdxfuzz.abi import find
from tdxfuzz.case.faults import KINDS
from tdxfuzz.case.world import ALL_ENTRIES, MAX_CPUS
from tdxfuzz.engines.plan import HuntPlan
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.run.session import checks_of

VP_ENTER = find("TDH.VP.ENTER").number

LONG = 32
"""Operations, those of the set-up included, from which a history counts as long."""


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
