"""livelock: CPUs that only wait for each other are told, a CPU that gets on is not."""

from __future__ import annotations

from broken_designs import GoesRound
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.sim import End, Schedule
from tiers import slow

FAULTS = Case(
    "Broken",
    World(cpus=2, tds=2, slots=2),
    (Op.parse("create 0"),),
    ((Op.parse("map 0 0"),), (Op.parse("map 0 1"),)),
)


def preempted(case: Case, layer: type[Merged]) -> list[Run]:
    """The run of every place at which CPU 1 may come in once."""
    steps = run(case, layer).outcome.steps
    return [run(case.with_schedule(Schedule.of([(at, 1)])), layer) for at in range(steps)]


@slow
def test_cpus_that_wait_for_each_other_in_loops_are_told() -> None:
    results = preempted(FAULTS, GoesRound)
    stuck = [result for result in results if result.findings]
    assert stuck
    assert {result.finding.bucket for result in stuck if result.finding} == {
        "livelock/-/-/retry loop"
    }
    assert {result.outcome.end for result in stuck} == {End.LIVELOCK}


def test_one_that_comes_first_is_not() -> None:
    result = run(FAULTS, GoesRound)
    assert result.finding is None
    assert result.outcome.end is End.REST


def test_a_fault_that_is_repeated_and_then_handled_is_not() -> None:
    same = Case("Broken", FAULTS.world, FAULTS.setup, (FAULTS.programs[0],) * 2)
    results = preempted(same, Merged)
    assert all(result.finding is None for result in results)
    assert any("livelock" in result.seen for result in results), "a loop went round"
