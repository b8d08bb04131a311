"""The orders nearest to that of a finding in which nothing shows."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.repro.page.frames import run_to_tell
from tdxfuzz.run.blame import HANG
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design
from tdxfuzz.sim import HarnessError, Schedule, Switch

MOST = 4
"""So many orders are enough to see what matters."""

FARTHEST = 24
"""A change of CPU is moved by so many steps at the most."""

RUNS = 160
"""So many orders are tried."""


@frozen
class Nearest:
    """An order in which nothing shows, and what is otherwise in it."""

    case: Case
    text: str


def nearest(found: Run, design: Design = None) -> list[Nearest]:
    """Orders of the same programs that differ in one change of CPU, the nearest first."""
    finding = found.finding
    if finding is None or finding.check == HANG or found.told_by_setup:
        return []
    near: list[Nearest] = []
    orders = {found.order}
    solved: set[str] = set()
    for tries, (what, text, schedule) in enumerate(_candidates(found.order)):
        if tries == RUNS or len(near) == MOST:
            break
        if what in solved:
            continue
        case = evolve(found.case, schedule=schedule)
        try:
            other = run_to_tell(case, design)
        except HarnessError:
            continue
        if other.shown is None and other.order not in orders:
            orders.add(other.order)
            solved.add(what)
            near.append(Nearest(case, text))
    return near


def _candidates(order: Schedule) -> Iterator[tuple[str, str, Schedule]]:
    """Schedules with one switch otherwise: what is done to which switch, that in words, and the
    schedule.
    """
    switches = order.switches
    for distance in range(1, FARTHEST + 1):
        for i, switch in enumerate(switches):
            for sign, word in ((-1, "earlier"), (1, "later")):
                moved = switch.step + sign * distance
                low = switches[i - 1].step if i else 0
                high = switches[i + 1].step if i + 1 < len(switches) else moved
                if not low <= moved <= high:
                    continue
                steps = "1 step" if distance == 1 else f"{distance} steps"
                text = f"CPU {switch.cpu} takes over {steps} {word}, at step {moved}"
                others = (*switches[:i], Switch(moved, switch.cpu), *switches[i + 1 :])
                yield f"{i} {word}", text, Schedule(others)
    for i, switch in enumerate(switches):
        text = f"CPU {switch.cpu} does not take over at step {switch.step}"
        yield f"{i} gone", text, Schedule((*switches[:i], *switches[i + 1 :]))
