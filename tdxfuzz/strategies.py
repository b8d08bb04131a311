"""Hypothesis strategies: worlds, operations, schedules, and whole cases.

::

    @given(cases("merged"))
    def test_no_race(case):
        assert_clean(case)

Hypothesis chooses the program and a few preemptions before the run, never a switch per
step: that would cost more than the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

from tdxfuzz.check.run import run
from tdxfuzz.host.case import OPERATIONS, Case, Op, World
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.search.programs import LAYOUTS, draw_case
from tdxfuzz.sim import Schedule

T = TypeVar("T")

MAX_PREEMPTIONS = 3


class _DrawnSource:
    """Choices that Hypothesis makes."""

    def __init__(self, draw: Callable[[st.SearchStrategy[object]], object]) -> None:
        self._draw = draw

    def pick(self, values: Sequence[T], weights: Sequence[int]) -> T:
        indices = [i for i, weight in enumerate(weights) for _ in range(weight)]
        index = self._draw(st.sampled_from(indices))
        assert isinstance(index, int)
        return values[index]

    def below(self, limit: int) -> int:
        number = self._draw(st.integers(0, limit - 1))
        assert isinstance(number, int)
        return number

    def percent(self, chance: int) -> bool:
        return self.below(100) < chance


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
    limits = {"td": world.tds, "slot": world.slots}
    return st.one_of(
        *(
            st.builds(
                Op,
                st.just(name),
                st.tuples(*(st.integers(0, limits[what] - 1) for what in arguments)),
            )
            for name, arguments in OPERATIONS.items()
        )
    )


def schedules(
    cpus: int, steps: int, returns: Sequence[int] = (), most: int = MAX_PREEMPTIONS
) -> st.SearchStrategy[Schedule]:
    """Sparse schedules for a run of about ``steps`` steps.

    Half of the switches come right behind a SEAMCALL's return, if ``returns`` says
    where those are: there a decision waits to be acted upon.
    """
    anywhere = st.integers(0, max(steps - 1, 0))
    places = anywhere if not returns else st.one_of(st.sampled_from(sorted(returns)), anywhere)
    switch = st.tuples(places, st.integers(0, cpus - 1))
    return st.lists(switch, max_size=most).map(Schedule.of)


@st.composite
def cases(
    draw: Callable[[st.SearchStrategy[object]], object],
    design_name: str = "merged",
    cpus: int = 2,
    design: type[RefcountLayer] | None = None,
    most: int = MAX_PREEMPTIONS,
) -> Case:
    """Whole cases for a design: built in by name, or a class of the user's.

    The programs are run once without preemptions, so that preemptions can be drawn
    where they fall inside the run.
    """
    case = draw_case(_DrawnSource(draw), design_name, cpus)
    base = run(case, design)
    schedule = draw(schedules(cpus, base.outcome.steps, base.returns, most))
    assert isinstance(schedule, Schedule)
    return case.with_schedule(schedule)
