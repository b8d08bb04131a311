"""Sleep sets: what commutes with what, and that no end and no bug is lost by them."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from attrs import evolve

from golden_files import REGRESSIONS
from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.hostile_calls import draw_hostile
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.repro.read import parse, read_text
from tdxfuzz.run.judge import HOOKS, overridden
from tdxfuzz.sim import BLIND, READ, RMW, SHARED, WRITE
from tdxfuzz.verify.search import StopRule, VerifyResult, verify
from tdxfuzz.verify.sleep_sets import QUIET, CheckListener, Transition, still_asleep
from tdxfuzz.verify.worklist import Bounds
from tiers import only_quick, slow

FULL = Bounds()
SHARES = RMW | SHARED


def made(*accesses: tuple[str, int], heard_by_check: bool = False) -> Transition:
    transition = Transition(heard_by_check=heard_by_check, over=True)
    for piece, access in accesses:
        transition.add(piece, access)
    return transition


@pytest.mark.parametrize(
    ("one", "other", "commute"),
    [
        (made(), made(("x", WRITE)), True),
        (made(("x", WRITE)), made(("y", WRITE)), True),
        (made(("x", READ)), made(("x", READ)), True),
        (made(("x", READ)), made(("x", WRITE)), False),
        (made(("x", SHARES)), made(("x", SHARES | BLIND)), True),
        (made(("x", SHARES)), made(("x", READ)), False),
        (made(("x", SHARES), ("x", RMW)), made(("x", SHARES)), False),
        (made(("x", READ), ("x", WRITE)), made(("x", READ)), False),
        (made(("x", READ), ("y", RMW)), made(("x", READ), ("z", RMW)), True),
        (made(("x", READ), ("y", RMW)), made(("x", READ), ("y", RMW)), False),
        (made(("x", READ), heard_by_check=True), made(("y", READ)), False),
        (Transition(), made(("y", READ)), False),
    ],
)
def test_transitions_commute_if_neither_sees_the_other(
    one: Transition, other: Transition, commute: bool
) -> None:
    assert one.commutes(other) is commute
    assert other.commutes(one) is commute


def test_whoever_does_not_commute_with_what_was_done_wakes_up() -> None:
    reads, writes = made(("x", READ)), made(("x", WRITE))
    assert still_asleep({1: reads, 2: writes}, made(("x", READ))) == {1: reads}
    assert still_asleep({1: reads, 2: writes}, made(("y", WRITE))) == {1: reads, 2: writes}
    assert still_asleep({1: reads}, made(heard_by_check=True)) == {}


ARGUMENTS: dict[str, tuple[object, ...]] = {
    "pair_added": (0x4000_0000,),
    "pair_removed": (0x4000_0000,),
    "page_gone": (0x4000_1000,),
    "held": (0x40001, "page"),
    "dropped": (0x40001, "page"),
    "page_allocated": (0x40001,),
    "page_used": (0x40001, "page"),
    "page_freed": (0x40001, "page"),
    "get_failed": (0x40001, -12),
    "cache_dry": ("page",),
}
"""Of the hooks that touch something."""


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_quiet_or_touches_something_or_is_loud(hook: str) -> None:
    ear = CheckListener()
    if hook in QUIET:
        assert hook not in overridden(CheckListener)
        return
    getattr(ear, hook)(*ARGUMENTS.get(hook, ()))
    assert ear.transition.heard_by_check == (hook not in ARGUMENTS)
    assert bool(ear.transition.pieces) == (hook in ARGUMENTS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pair_removed", "held"),
        ("pair_removed", "dropped"),
        ("pair_removed", "page_gone"),
        ("pair_added", "held"),
        ("page_freed", "held"),
        ("page_freed", "page_allocated"),
        ("page_freed", "page_used"),
    ],
)
def test_hooks_at_which_a_check_judges_by_what_another_tells_do_not_commute(
    one: str, other: str
) -> None:
    ears = CheckListener(), CheckListener()
    for ear, hook in zip(ears, (one, other), strict=True):
        getattr(ear, hook)(*ARGUMENTS[hook])
        ear.transition.over = True
    assert not ears[0].transition.commutes(ears[1].transition)


def test_an_error_for_want_of_memory_and_the_allocation_that_failed_do_not_commute() -> None:
    failed, refused = CheckListener(), CheckListener()
    failed.get_failed(0x40001, -12)
    refused.page_allocated(None)
    for ear in (failed, refused):
        ear.transition.over = True
    assert not failed.transition.commutes(refused.transition)


FEW_STATES = 400
"""Programs at random with more states than this are passed over."""

HOSTILE_REPRODUCERS = [path for path in REGRESSIONS if path.name.startswith(HOSTILE)]


def both(case: Case, bounds: Bounds = FULL) -> tuple[VerifyResult, VerifyResult]:
    """The search with sleep sets, and without: the same ends and bugs, if both are finished.
    ``schedules`` counts the runs of each, as without tables.
    """
    with_sleep, without = (
        verify(case, bounds=evolve(bounds, sleep=sleep), until=StopRule.EVERY_BUCKET, tables=False)
        for sleep in (True, False)
    )
    if without.counts.states <= bounds.states:
        assert with_sleep.counts.finals == without.counts.finals
        assert set(with_sleep.firsts) == set(without.firsts)
    return with_sleep, without


@pytest.mark.parametrize(
    ("name", "design"),
    [
        ("zap-zap", "hint"),
        ("zap-zap", "merged"),
        pytest.param("zap-remap", "v4", marks=slow),
        pytest.param("map-zap", "merged", marks=slow),
    ],
)
def test_in_scenarios_no_end_and_no_bug_is_lost(name: str, design: str) -> None:
    with_sleep, without = both(SCENARIOS[name].case(design))
    # Where retry points are passed nobody sleeps, so that no cycle of states is missed.
    if name == "zap-zap" and design == "hint":
        assert with_sleep.counts.schedules == without.counts.schedules
    else:
        assert with_sleep.counts.schedules < without.counts.schedules


@pytest.mark.parametrize(
    "path",
    only_quick([path for path in HOSTILE_REPRODUCERS if "fatal" in path.name], HOSTILE_REPRODUCERS),
    ids=lambda path: path.name,
)
def test_in_reproducers_no_end_and_no_bug_is_lost(path: Path) -> None:
    with_sleep, without = both(parse(read_text(path)).case)
    assert without.firsts
    assert with_sleep.counts.schedules < without.counts.schedules


@pytest.mark.parametrize(
    ("design", "programs", "compared"),
    [
        (HOSTILE, 30, 30),
        pytest.param("hint", 3, 1, marks=slow),
        pytest.param("v6", 3, 2, marks=slow),
    ],
)
def test_in_programs_at_random_no_end_and_no_bug_is_lost(
    design: str, programs: int, compared: int
) -> None:
    source = RandomChoices(Random(5))
    few = Bounds(states=FEW_STATES)
    finished = 0
    for _ in range(programs):
        case = draw_hostile(source) if design == HOSTILE else draw_case(source, design)
        short = evolve(case, programs=tuple(program[:1] for program in case.programs))
        finished += both(short, few)[1].counts.states <= FEW_STATES
    assert finished >= compared
