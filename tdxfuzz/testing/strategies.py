"""Hypothesis strategies: worlds, operations, SEAMCALLs, status words, schedules, whole cases.

::

    @given(cases("merged"))
    def test_no_race(case):
        assert_clean(case)

Hypothesis chooses the program and a few preemptions before the run. It does not choose at
every step, because that would cost more than the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

from hypothesis import strategies as st

from tdxfuzz.abi import CODES, OPERANDS, Status, status
from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE, SETUPS
from tdxfuzz.case.operation import OPERATIONS, Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.choices import Choices
from tdxfuzz.generate.hostile_calls import HOSTILE_LEAVES, draw_call, draw_hostile, fitting_calls
from tdxfuzz.generate.programs import LAYOUTS, draw_case
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.session import Design
from tdxfuzz.sim import Schedule
from tdxfuzz.testing.run_cache import run_cache

T = TypeVar("T")

MAX_PREEMPTIONS = 3

PARTS = 5
"""One preemption in so many comes anywhere, the others before a step that another CPU can
spoil."""


class _HypothesisChoices:
    """Choices that Hypothesis makes."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def pick(self, values: Sequence[T], weights: Sequence[int]) -> T:
        return values[self._draw(_weighted(tuple(weights)))]

    def below(self, limit: int) -> int:
        return self._draw(_below(limit))

    def percent(self, chance: int) -> bool:
        return self.below(100) < chance


@cache
def _weighted(weights: tuple[int, ...]) -> st.SearchStrategy[int]:
    return st.sampled_from([i for i, weight in enumerate(weights) for _ in range(weight)])


@cache
def _below(limit: int) -> st.SearchStrategy[int]:
    return st.integers(0, limit - 1)


def worlds(cpus: int = 2) -> st.SearchStrategy[World]:
    """Worlds with ranges shared in every way the generators use."""
    return st.builds(
        lambda tds, slots, layout: World(cpus, tds, slots, layout[0], layout[1]),
        st.integers(1, 3),
        st.integers(1, 4),
        st.sampled_from(LAYOUTS),
    )


def operations(world: World) -> st.SearchStrategy[Op]:
    """Any operation that a world has the TDs and slots for."""
    return st.one_of(
        *(
            st.builds(
                Op,
                st.just(name),
                st.tuples(*(st.integers(0, world.most(what) - 1) for what in arguments)),
            )
            for name, arguments in OPERATIONS.items()
            if all(world.most(what) for what in arguments)
        )
    )


@st.composite
def schedules(draw: st.DrawFn, base: BaseRun, most: int = MAX_PREEMPTIONS) -> Schedule:
    """Sparse schedules for programs whose run in the default order is known.

    Most of the preemptions come before a step that another CPU can spoil.
    """
    return _draw_schedule(_HypothesisChoices(draw), base, most)


def _draw_schedule(choices: Choices, base: BaseRun, most: int) -> Schedule:
    pairs = []
    for _ in range(choices.below(most + 1)):
        cell, part = divmod(choices.below(PARTS * max(len(base.conflicts), 1)), PARTS)
        if part and base.conflicts:
            places = base.conflicts[cell]
            pairs.append(places[choices.below(len(places))])
        else:
            pairs.append((choices.below(base.length), choices.below(base.run.contexts)))
    return Schedule.of(pairs)


@st.composite
def programs(draw: st.DrawFn, design_name: str = "merged", cpus: int = 2) -> Case:
    """Cases without a schedule: a world, some TDs and pages, and a program for each CPU;
    for "hostile" a set-up, and raw SEAMCALLs.
    """
    choices = _HypothesisChoices(draw)
    if design_name == HOSTILE:
        return draw_hostile(choices, cpus)
    return draw_case(choices, design_name, cpus)


def setups() -> st.SearchStrategy[str]:
    """Names of set-ups that raw SEAMCALLs start from."""
    return st.sampled_from(sorted(SETUPS))


@st.composite
def seamcalls(draw: st.DrawFn, setup: str) -> Op:
    """A SEAMCALL with operands that mean something after a set-up, by its name: any leaf, or
    one that would succeed there.
    """
    choices = _HypothesisChoices(draw)
    if draw(st.booleans()):
        fitting = [op for ops in fitting_calls(setup).values() for op in ops]
        return draw(st.sampled_from(fitting))
    return draw_call(choices, choices.pick(HOSTILE_LEAVES, [1] * len(HOSTILE_LEAVES)), setup)


def status_words() -> st.SearchStrategy[Status]:
    """Completion status words: what the module answers, and any 64 bits."""
    named = st.builds(
        lambda name, low: status(CODES[name] << 32 | low),
        st.sampled_from(sorted(CODES)),
        st.one_of(st.sampled_from(sorted(OPERANDS.values())), st.integers(0, (1 << 32) - 1)),
    )
    return st.one_of(named, st.integers(0, (1 << 64) - 1).map(status))


@st.composite
def bases(
    draw: st.DrawFn,
    design_name: str = "merged",
    cpus: int = 2,
    design: Design = None,
    variant: str = DEFAULT.name,
) -> BaseRun:
    """Programs with their run in the default order: what :func:`schedules` needs."""
    case = draw(programs(design_name, cpus)).on_module(variant)
    return run_cache(design).base(case)


@st.composite
def cases(
    draw: st.DrawFn,
    design_name: str = "merged",
    cpus: int = 2,
    design: Design = None,
    most: int = MAX_PREEMPTIONS,
) -> Case:
    """Whole cases for a design: built in by name, or a class of the user's."""
    case = draw(programs(design_name, cpus))
    schedule = _draw_schedule(_HypothesisChoices(draw), run_cache(design).base(case), most)
    return case.with_schedule(schedule)
