"""What Hypothesis draws is valid, crowded and runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tdxfuzz.assertions import assert_clean
from tdxfuzz.check.run import run
from tdxfuzz.host.case import Case, World
from tdxfuzz.search.footprint import Base
from tdxfuzz.strategies import bases, cases, operations, schedules, worlds


@given(cases("merged"))
def test_the_merged_design_is_clean(case: Case) -> None:
    assert_clean(case)


@given(cases("v6", cpus=3))
def test_the_v6_design_is_clean_on_three_cpus(case: Case) -> None:
    assert_clean(case)


@given(st.integers(1, 8).flatmap(worlds), st.data())
def test_an_operation_fits_its_world(world: World, data: st.DataObject) -> None:
    Case("merged", world, programs=((),) * world.cpus, setup=(data.draw(operations(world)),))


@given(bases("hint"), st.data())
def test_a_schedule_has_no_more_preemptions_than_asked_for(base: Base, data: st.DataObject) -> None:
    schedule = data.draw(schedules(base, most=2))
    assert len(schedule) <= 2
    assert run(base.run.case.with_schedule(schedule)).preemptions <= 2
