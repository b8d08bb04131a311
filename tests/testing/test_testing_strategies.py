"""What Hypothesis draws is valid, crowded and runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from tdxfuzz.abi import Registers, Status
from tdxfuzz.assertions import Broken, assert_clean
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import AREA_OPERATIONS, HOST_OPERATIONS, Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.case.world import World
from tdxfuzz.generate.running import guest_meets_host
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.vm import Vm
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.session import run
from tdxfuzz.strategies import (
    bases,
    cases,
    operations,
    programs,
    schedules,
    seamcalls,
    setups,
    status_words,
    worlds,
)
from tdxfuzz.testing.assertions import OUT
from tdxfuzz.testing.profiles import ORDERS
from tiers import slow


def test_programs_are_of_all_kinds_that_a_hunt_draws() -> None:
    drawn: list[Case] = []

    @seed(1)
    @settings(max_examples=100, database=None, derandomize=False, deadline=None)
    @given(programs("merged"))
    def draw(case: Case) -> None:
        drawn.append(case)

    draw()
    huge = [case for case in drawn if case.world.areas]
    long = [case for case in drawn if len(case.setup) + case.operations > 12]
    assert len(huge) >= 8
    assert {op.name for case in huge for ops in case.programs for op in ops} >= set(AREA_OPERATIONS)
    assert len(long) >= 8
    assert len(drawn) - len(huge) - len(long) >= 40
    runs = [
        case for case in drawn if any(op.name == "enter" for ops in case.programs for op in ops)
    ]
    assert 15 <= len(runs) <= 40
    met = [case for case in runs if guest_meets_host(case)]
    assert len(met) >= 6
    assert {op.name for case in runs for op in case.setup} >= {"vcpu", "finalize"}
    standard = [scenario.case("merged") for scenario in SCENARIOS.values()]
    assert 4 <= sum(case in standard for case in drawn) <= 30


def test_the_first_choices_make_a_short_program() -> None:
    """Hypothesis shrinks to them."""
    smallest: list[Case] = []

    @settings(max_examples=1, database=None)
    @given(programs("merged"))
    def draw(case: Case) -> None:
        smallest.append(case)

    draw()
    (case,) = smallest
    assert not case.world.areas
    assert not any(op.name == "finalize" for op in case.setup)
    assert case.operations == 2


class NoTrack(Kvm):
    """Pages are zapped without TDH.MEM.TRACK, which only a TD that runs can notice."""

    def track(self, vm: Vm) -> tuple[Status, Registers]:
        return Status(0), Registers()


@slow
def test_what_only_a_running_td_shows_is_found_under_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(OUT, str(tmp_path))

    @settings(settings.get_profile("ci"), phases=[Phase.generate])
    @given(cases("merged", kvm=NoTrack))
    def test(case: Case) -> None:
        assert_clean(case, orders=ORDERS["ci"])

    with pytest.raises(Broken, match="TLB_TRACKING_NOT_DONE"):
        test()


@slow
@settings(max_examples=80)
@given(cases("merged"))
def test_the_merged_design_is_clean(case: Case) -> None:
    assert_clean(case)


@slow
@given(cases("v6", cpus=3))
def test_the_v6_design_is_clean_on_three_cpus(case: Case) -> None:
    assert_clean(case)


@given(st.integers(1, 8).flatmap(worlds), st.data())
def test_an_operation_fits_its_world(world: World, data: st.DataObject) -> None:
    Case("merged", world, programs=((),) * world.cpus, setup=(data.draw(operations(world)),))


def test_every_host_operation_is_drawn() -> None:
    drawn: set[str] = set()

    @settings(max_examples=200, database=None)
    @given(operations(World(cpus=2, tds=2, slots=2, areas=1, fresh_ranges=(3, 4))))
    def draw(op: Op) -> None:
        drawn.add(op.name)

    draw()
    assert drawn == set(HOST_OPERATIONS)


@slow
@given(bases("hint"), st.data())
def test_a_schedule_has_no_more_preemptions_than_asked_for(
    base: BaseRun, data: st.DataObject
) -> None:
    schedule = data.draw(schedules(base, most=2))
    assert len(schedule) <= 2
    assert run(base.run.case.with_schedule(schedule)).preemptions <= 2


@slow
@given(bases("hint"), st.data())
def test_an_example_has_room_for_many_schedules(base: BaseRun, data: st.DataObject) -> None:
    """Hypothesis cuts off an example that draws more than 8 kB."""
    for _ in range(100):
        data.draw(schedules(base))


@given(cases("hostile", cpus=3))
def test_hostile_cases_call_the_module_from_every_cpu(case: Case) -> None:
    assert len(case.programs) == 3
    assert all(op.is_seamcall for program in case.programs for op in program)
    run(case)


@given(setups(), st.data())
def test_a_seamcall_is_written_and_read_back(setup: str, data: st.DataObject) -> None:
    op = data.draw(seamcalls(setup))
    assert op.is_seamcall
    assert Op.parse(str(op)) == op


@given(status_words())
def test_a_status_word_has_a_name_and_a_class(word: Status) -> None:
    assert 0 <= word < 1 << 64
    assert str(word)
    assert word.ok == (word >> 63 == 0)
