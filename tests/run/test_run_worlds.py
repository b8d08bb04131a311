"""A case that is run again behaves as one that is run in a new world."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.faults import KINDS
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.pct import PriorityPolicy
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.hostile_calls import draw_hostile
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.run.worlds import Rerun, Worlds
from tdxfuzz.sim import Fault, Schedule
from tiers import first_quick


def what_happened(found: Run) -> tuple[object, ...]:
    assert found.trace is not None
    return (
        found.trace.hash(),
        found.case,
        found.findings,
        found.order,
        found.seen,
        found.contention,
    )


@pytest.mark.parametrize("design", first_quick(8, [HOSTILE, *DESIGNS]))
def test_each_run_is_as_in_a_new_world(design: str) -> None:
    rng = Random(design)
    for _ in range(4):
        source = RandomChoices(rng)
        case = draw_hostile(source) if design == HOSTILE else draw_case(source, design)
        rerun = Rerun(case)
        for _ in range(5):
            pairs = [(rng.randrange(300), rng.randrange(2)) for _ in range(3)]
            schedule = Schedule.of(pairs)
            again = rerun.run(schedule, traced=True)
            assert what_happened(again) == what_happened(
                run(case.with_schedule(schedule), traced=True)
            )


def test_a_policy_decides_and_what_it_found_is_written_down() -> None:
    rerun = Rerun(SCENARIOS["map-zap"].case("hint"))
    found = None
    for point in range(200):
        found = rerun.run(policy=PriorityPolicy([2, 1], [point]))
        if found.findings:
            break
    assert found is not None
    assert found.finding is not None
    assert run(found.case).finding == found.finding


class KeepsADeque(Merged):
    """A design whose state cannot be put back; it never changes it."""

    def setup(self) -> None:
        super().setup()
        self.log = deque([1])


def test_a_design_that_cannot_be_put_back_gets_new_worlds() -> None:
    case = Case("KeepsADeque")
    rerun = Rerun(case, KeepsADeque)
    sessions = [rerun.ready() for _ in range(3)]
    assert len({id(session.host) for session in sessions}) == 3
    assert [session.run_programs().findings for session in sessions] == [(), (), ()]
    kept = Rerun(Case("merged"))
    assert kept.ready() is kept.ready()


@pytest.mark.parametrize("kind", KINDS)
def test_cases_that_differ_in_their_faults_alone_share_a_world(kind: str) -> None:
    worlds = Worlds()
    without = SCENARIOS["map-map"].case("merged")
    failing = [evolve(without, faults=(Fault(kind, index),)) for index in (0, 1, 3)]
    cases = [without, failing[0], failing[1], without, failing[2], failing[0]]
    assert len({id(worlds.ready(case).host) for case in cases}) == 1
    for case in cases:
        again, once = worlds.run(case, traced=True), run(case, traced=True)
        assert what_happened(again) == what_happened(once)
    hashes = {what_happened(worlds.run(case, traced=True))[0] for case in cases}
    assert len(hashes) > 1


def test_no_run_of_a_world_that_is_kept_counts_its_set_up() -> None:
    case = SCENARIOS["map-zap"].case("merged")
    worlds = Worlds()
    first, second = worlds.run(case), worlds.run(case)
    assert first.calls == second.calls
    assert (first.setup_steps, second.setup_steps) == (0, 0)
    assert run(case).setup_steps > 0
    assert run(case).calls > first.calls
