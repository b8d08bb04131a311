"""What a hunt did not try, in words: a clean hunt says nothing about that. And whether what it did
try says anything at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from tdxfuzz.abi import find
from tdxfuzz.case.faults import KINDS
from tdxfuzz.case.world import ALL_ENTRIES, MAX_CPUS
from tdxfuzz.check.vacuous import never_happened
from tdxfuzz.engines.plan import HuntPlan
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.run.session import checks_of

VP_ENTER = find("TDH.VP.ENTER").number

LONG = 32
"""Operations, those of the set-up included, from which a history counts as long."""


def not_tried(plan: HuntPlan, statistics: Statistics) -> list[str]:
    """What a hunt left out, in words; the most important first."""
    return list(_not_tried(plan, statistics))


def vacuous(plan: HuntPlan, statistics: Statistics) -> list[str]:
    """Why a hunt that found nothing shows nothing; empty if it shows something.

    Drawn programs are of every kind, so each check must have met what it looks for. The programs of
    a scenario are few, and there the rule of ``verify`` holds. What no check met is not tried then.
    """
    if plan.scenario is None:
        return [
            f"{check} never had anything to check (`tdxfuzz list checks {check}`)"
            for check in statistics.unseen()
        ]
    never = never_happened(plan.design_name, plan.checks, statistics.met_by())
    return [never] if never else []


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
    own = checks_of(plan.design_name, plan.design)
    deaf = [check for check in own if check not in statistics.checks]
    if deaf:
        yield f"checks: {', '.join(deaf)}"
    idle = statistics.unseen()
    if idle and not vacuous(plan, statistics):
        yield f"what these checks look for, because it never happened: {', '.join(idle)}"
    yield "reordering of memory accesses by a CPU"
