"""The kinds of programs that Hypothesis draws: those of a hunt, each about as often as there."""

from __future__ import annotations

from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.engines.draw import HISTORIES, STANDARD, standard
from tdxfuzz.generate.choices import Choices
from tdxfuzz.generate.histories import draw_history
from tdxfuzz.generate.hostile_calls import draw_hostile
from tdxfuzz.generate.huge_programs import Huge, draw_huge_case
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.generate.running import SHARE, with_running_tds

HUGE = Huge()
"""2MB pages as in a hunt that is not told otherwise."""


def draw_any(choices: Choices, design: str, cpus: int) -> Case:
    """A case without a schedule, of any kind that a hunt draws; for "hostile" raw SEAMCALLs.

    Where all choices are the first one, it is short, with 4KB pages of TDs that do not run.
    """
    if design == HOSTILE:
        return draw_hostile(choices, cpus)
    areas = _is_due(choices, HUGE.share)
    if not areas and _is_due(choices, HISTORIES):
        return draw_history(choices, design, cpus)
    known = standard(design, cpus, areas)
    if known and _is_due(choices, STANDARD[areas]):
        case = known[choices.below(len(known))]
        return HUGE.resize(case) if areas else case
    return _drawn(choices, design, cpus, areas)


def draw_start(choices: Choices, design: str, cpus: int) -> Case:
    """The same without long histories and standard scenarios: a world to begin in, and what has
    been set up there.
    """
    return _drawn(choices, design, cpus, _is_due(choices, HUGE.share))


def _drawn(choices: Choices, design: str, cpus: int, areas: bool) -> Case:
    case = (
        draw_huge_case(choices, design, HUGE, cpus) if areas else draw_case(choices, design, cpus)
    )
    return with_running_tds(choices, case) if _is_due(choices, SHARE) else case


def _is_due(choices: Choices, share: float) -> bool:
    """True in so many of the cases. Unlike ``percent``, False is the first choice."""
    percent = round(100 * share)
    return choices.pick((False, True), (100 - percent, percent))
