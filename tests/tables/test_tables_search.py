"""A search on tables has the counts and the verdict of the search that runs code."""

from __future__ import annotations

from itertools import count
from typing import ClassVar

import pytest
from attrs import evolve

from tdxfuzz.case.scenarios import SCENARIOS, with_cpus
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.blame import NotDeterministicError
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Session
from tdxfuzz.sim import Cpu, Nondeterminism, OutOfTime
from tdxfuzz.tables.recorder import Recorder
from tdxfuzz.tables.table import Leg, Table
from tdxfuzz.verify import table_search
from tdxfuzz.verify.out_of_time import OutOfTimeInRun
from tdxfuzz.verify.search import StopRule, Verdict, VerifyResult, verify
from tdxfuzz.verify.worklist import RUNS, TABLES, Bounds, Worklist
from tiers import long, slow


@pytest.fixture(autouse=True)
def tables_from_the_start_and_each_run_proves_a_leg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_search, "PROOF_EVERY", 1)
    monkeypatch.setattr(table_search, "FIRST_RUNS", 0)


def what_is_said(result: VerifyResult) -> tuple[object, ...]:
    counts = result.counts
    bucket = None if result.found is None or result.found.finding is None else result.found.finding
    sizes = counts.states, counts.transitions, counts.finals, counts.seen
    said = result.verdict, result.ends, result.loop, result.starves, result.why
    return *sizes, *said, bucket


def assert_same(design: str, name: str, bounds: Bounds, cpus: int = 2) -> VerifyResult:
    case = with_cpus(SCENARIOS[name], cpus).case(design)
    on_tables = verify(case, bounds=bounds)
    by_runs = verify(case, bounds=bounds, tables=False)
    assert by_runs.engine == RUNS
    assert what_is_said(on_tables) == what_is_said(by_runs)
    return on_tables


@pytest.mark.parametrize(
    ("name", "preemptions"),
    [("map-zap", 0), ("map-map", 1), ("map-map", 2), pytest.param("map-zap", 3, marks=slow)],
)
def test_within_a_bound_on_preemptions(name: str, preemptions: int) -> None:
    on_tables = assert_same("merged", name, Bounds(preemptions))
    assert on_tables.engine == TABLES


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(sleep=False),
        pytest.param(Bounds(reduce=False, sleep=False), marks=slow),
        pytest.param(Bounds(1, reduce=False), marks=slow),
    ],
    ids=["no sleep sets", "a choice before each step", "the same within a bound"],
)
def test_with_reductions_off(bounds: Bounds) -> None:
    assert assert_same("v6", "zap-zap", bounds).engine == TABLES


@pytest.mark.parametrize(
    ("design", "name", "preemptions"),
    [
        ("merged", "split-map", 1),
        pytest.param("merged", "zap2m-fault", 2, marks=slow),
        pytest.param("v6", "create-destroy", 1, marks=slow),
        pytest.param("v5", "destroy-create", 1, marks=slow),
        pytest.param("v6", "split-fault", 2, marks=slow),
    ],
)
def test_2mb_pages_and_the_life_of_a_td(design: str, name: str, preemptions: int) -> None:
    assert assert_same(design, name, Bounds(preemptions)).engine == TABLES


@slow
def test_three_cpus() -> None:
    assert assert_same("v6", "zap-zap", Bounds(2), cpus=3).engine == TABLES


@slow
@long
@pytest.mark.parametrize("design", DESIGNS)
def test_every_scenario_of_every_design(design: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All orders with up to one preemption: the same counts, verdict and finding."""
    monkeypatch.setattr(table_search, "PROOF_EVERY", 50)
    for name in SCENARIOS:
        assert_same(design, name, Bounds(1))


def test_loops_are_found_on_tables() -> None:
    result = assert_same("spin-on-busy", "zap-zap", Bounds(2))
    assert result.counts.states


@slow
def test_a_loop_among_all_orders() -> None:
    result = assert_same("hint", "map-map", Bounds())
    assert (result.engine, result.verdict) == (TABLES, Verdict.FAIL)
    assert result.loop is not None


def test_a_finding_is_that_of_the_search_by_runs() -> None:
    result = assert_same("hint", "map-zap", Bounds(2))
    assert (result.engine, result.verdict) == (RUNS, Verdict.FAIL)


def test_no_finding_is_missed_where_runs_go_on_after_one() -> None:
    case = SCENARIOS["map-zap"].case("hint")
    every = StopRule.EVERY_CHECK
    firsts = [verify(case, bounds=Bounds(1), until=every, tables=on).firsts for on in (True, False)]
    assert firsts[0] == firsts[1] != {}


@pytest.mark.parametrize(("first", "engine"), [(0, TABLES), (20, TABLES), (1000, RUNS)])
def test_a_search_begins_without_tables(
    first: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_search, "FIRST_RUNS", first)
    assert assert_same("merged", "map-map", Bounds(2)).engine == engine


def test_a_finding_that_runs_for_the_table_meet_first_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = SCENARIOS["map-zap"].case("hint")
    alone = verify(case, bounds=Bounds(2), tables=False)
    for first in (0, alone.counts.schedules // 2):
        monkeypatch.setattr(table_search, "FIRST_RUNS", first)
        result = verify(case, bounds=Bounds(2))
        assert what_is_said(result) == what_is_said(alone)
        assert result.found == alone.found


@slow
def test_runs_are_few() -> None:
    case = SCENARIOS["map-zap"].case("merged")
    on_tables, by_runs = (verify(case, bounds=Bounds(2), tables=on).counts for on in (True, False))
    assert on_tables.schedules < by_runs.schedules / 2


def test_a_search_goes_on_where_its_time_was_over() -> None:
    case = SCENARIOS["map-zap"].case("merged")
    worklist, rounds = Worklist(), 0
    counts = None
    while True:
        stop = iter([False] * 7 + [True] * 1000).__next__
        result = verify(case, None, Bounds(2), None, worklist, counts, stop=stop)
        counts, rounds = result.counts, rounds + 1
        if result.verdict is Verdict.PASS:
            break
        assert result.verdict is Verdict.UNKNOWN
    assert rounds > 3
    whole = verify(case, bounds=Bounds(2))
    assert (counts.states, counts.transitions) == (whole.counts.states, whole.counts.transitions)


def test_a_wrong_leg_is_an_error_and_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    class Miscounts(dict[tuple[bytes, int], Leg]):
        def __setitem__(self, missing: tuple[bytes, int], leg: Leg) -> None:
            super().__setitem__(missing, evolve(leg, steps=leg.steps + 1))

    made = Table.__init__

    def init(self: Table) -> None:
        made(self)
        self.legs = Miscounts()

    monkeypatch.setattr(Table, "__init__", init)
    with pytest.raises(Nondeterminism, match=r"CPU \d made Leg\(.*, and makes Leg\("):
        verify(SCENARIOS["map-zap"].case("merged"), bounds=Bounds(2))


class Alternates(Merged):
    """Does something else each second time that a program runs."""

    times: ClassVar = [0]

    def get(self, pfn: int, cache: object = None) -> int:
        self.times[0] += 1
        if self.times[0] % 2:
            self.refcount(pfn).read()
        return super().get(pfn, cache)  # type: ignore[arg-type]


def test_a_design_that_is_not_deterministic_is_an_error() -> None:
    case = SCENARIOS["map-zap"].case("mine")
    with pytest.raises(Exception, match=r"deterministic|leads to something else|outside"):
        verify(case, Alternates, Bounds(2))


def test_a_run_that_goes_elsewhere_than_before_is_kept_with_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    follow = Recorder._follow

    def diverges(recorder: Recorder, ahead: tuple[bytes, int]) -> Cpu | None:
        if recorder._next == 1:
            recorder._diverge("made up")
        return follow(recorder, ahead)

    monkeypatch.setattr(Recorder, "_follow", diverges)
    with pytest.raises(NotDeterministicError, match=r"not deterministic \(made up\)") as raised:
        verify(SCENARIOS["zap-zap"].case("merged"), bounds=Bounds(1))
    assert raised.value.run is not None
    assert raised.value.run.case.design == "merged"


def test_the_run_in_which_time_was_over_is_known_on_tables_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_programs = Session.run_programs
    runs = count()

    def is_over(session: Session) -> Run:
        if next(runs) == 3:
            raise OutOfTime
        return run_programs(session)

    monkeypatch.setattr(Session, "run_programs", is_over)
    with pytest.raises(OutOfTimeInRun) as raised:
        verify(SCENARIOS["zap-zap"].case("merged"), bounds=Bounds(1))
    assert raised.value.run.case.design == "merged"
