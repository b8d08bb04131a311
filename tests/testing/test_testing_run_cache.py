"""Cases that are drawn one by one: what comes again is looked up, each thread for itself."""

from __future__ import annotations

from threading import Thread

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.check.finding import Finding
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Session, run
from tdxfuzz.sim import Schedule
from tdxfuzz.testing.run_cache import RunCache, forget, run_cache

CASE = SCENARIOS["map-zap"].case("hint")


class Mine(Merged):
    """A user's design."""


def test_a_case_is_run_once_and_another_order_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Case] = []
    run_programs = Session.run_programs

    def noted(session: Session) -> Run:
        ran.append(session.case)
        return run_programs(session)

    monkeypatch.setattr(Session, "run_programs", noted)
    cases = RunCache(Mine)
    case = Case("Mine", setup=CASE.setup, programs=CASE.programs)
    first = cases.run(case)
    assert cases.run(case) is first
    assert ran == [case]
    other = cases.run(case.with_schedule(Schedule.of([(40, 1)])))
    assert len(ran) == 2
    assert other.outcome.switches != first.outcome.switches


def test_a_run_is_as_by_itself_and_so_are_the_places_that_can_matter() -> None:
    cases = RunCache(None)
    found: list[Finding] = []
    for places in cases.base(CASE).conflicts:
        for place in places:
            case = CASE.with_schedule(Schedule.of([place]))
            assert cases.run(case).findings == run(case).findings
            found += cases.run(case).findings
    assert found
    assert cases.base(CASE) is cases.base(CASE)


def test_each_thread_and_each_design_has_its_own() -> None:
    forget()
    mine, others = run_cache(), []
    thread = Thread(target=lambda: others.append(run_cache()))
    thread.start()
    thread.join()
    assert run_cache() is mine
    assert run_cache(Mine) is not mine
    assert others[0] is not mine
    forget()
    assert run_cache() is not mine
