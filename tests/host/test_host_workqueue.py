"""Workqueues: an item runs beside its caller, and can be waited for and cancelled."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design import RefcountLayer, Work
from tdxfuzz.host.kernel.held import HeldLocks
from tdxfuzz.host.kernel.lock import Mutex
from tdxfuzz.host.kernel.workqueue import Workqueue
from tdxfuzz.repro.columns import columns
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.session import run
from tdxfuzz.sim import Deadlock, End, Outcome, Simulator, State
from tdxfuzz.verify.search import StopRule, Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import slow
from workqueue_designs import (
    Cancelled,
    CancelledOnly,
    Deferred,
    DeferredUnchecked,
    Flushed,
    FlushedInAtomic,
    FlushedUnderItsMutex,
    RemovedUnlocked,
    ScheduledFirst,
    TooFewWorkers,
    TwoItems,
)

WITHOUT_2MB = [scenario for scenario in SCENARIOS.values() if not scenario.world.areas]


class Bench:
    """A simulator with two programs and two workers, and two items that note what they do."""

    def __init__(self) -> None:
        self.sim = Simulator(2, workers=2)
        self.held = HeldLocks(self.sim, 4)
        self.pool = Workqueue(self.sim, self.held)
        self.said: list[str] = []
        self.first = self.item(1, "first", lambda: None)
        self.second = self.item(2, "second", lambda: None)

    def item(self, number: int, name: str, body: Callable[[], object]) -> Work:
        def function() -> None:
            self.said.append(f"{name} begins on CPU {self.sim.current.id}")
            body()
            self.said.append(f"{name} ends")

        return self.pool.item(number, name, function)

    def run(self, body: Callable[[], object]) -> Outcome:
        """Run a body on CPU 0, and nothing on CPU 1."""

        def program() -> None:
            body()

        return self.sim.run([program, lambda: None])


def test_an_item_runs_on_a_cpu_of_its_own() -> None:
    bench = Bench()

    def program() -> None:
        assert bench.first.schedule()
        assert bench.second.schedule()
        bench.said.append("scheduled")

    assert bench.run(program).end is End.REST
    assert bench.said == [
        "scheduled",
        "first begins on CPU 2",
        "first ends",
        "second begins on CPU 3",
        "second ends",
    ]
    assert all(worker.state is State.DONE for worker in bench.sim.workers)


def test_an_item_that_is_pending_is_not_queued_once_more() -> None:
    bench = Bench()

    def program() -> None:
        assert bench.first.schedule()
        assert not bench.first.schedule()

    bench.run(program)
    assert bench.said.count("first ends") == 1


def test_an_item_that_runs_can_be_queued_and_runs_again_but_not_beside_itself() -> None:
    bench = Bench()
    rounds = []

    def again() -> None:
        rounds.append(bench.sim.current.id)
        if len(rounds) < 3:
            assert bench.first.schedule()

    bench.item(1, "first", again)
    bench.run(lambda: bench.first.schedule())
    assert rounds == [2, 2, 2]
    assert bench.said == ["first begins on CPU 2", "first ends"] * 3


def test_whoever_flushes_waits_for_the_end() -> None:
    bench = Bench()

    def program() -> None:
        assert not bench.first.flush()
        bench.first.schedule()
        assert bench.first.flush()
        bench.said.append("flushed")

    bench.run(program)
    assert bench.said == ["first begins on CPU 2", "first ends", "flushed"]


def test_whoever_flushes_an_item_that_runs_and_is_pending_waits_for_both() -> None:
    bench = Bench()
    rounds: list[int] = []

    def body() -> None:
        rounds.append(0)
        if len(rounds) == 1:
            bench.first.schedule()
            bench.second.schedule()
            bench.second.flush()

    bench.item(1, "first", body)
    bench.item(2, "second", lambda: bench.first.flush() if len(rounds) > 2 else None)

    def program() -> None:
        bench.first.schedule()
        bench.first.flush()
        bench.said.append("flushed")

    bench.run(program)
    assert bench.said[-1] == "flushed"
    assert len(rounds) == 2


def test_an_item_that_is_cancelled_in_time_does_not_begin() -> None:
    bench = Bench()

    def program() -> None:
        bench.first.schedule()
        assert bench.first.cancel()
        assert not bench.first.cancel_sync()
        assert not bench.first.flush()

    assert bench.run(program).end is End.REST
    assert bench.said == []
    assert bench.first.is_idle


def test_an_item_that_is_being_cancelled_cannot_queue_itself() -> None:
    bench = Bench()
    queued = []

    def body() -> None:
        bench.second.flush()  # here CPU 0 goes on, and cancels
        queued.append(bench.first.schedule())

    bench.item(1, "first", body)
    bench.item(2, "second", lambda: None)

    def program() -> None:
        bench.first.schedule()
        bench.second.schedule()
        bench.sim.go_on_with(bench.sim.cpus[2])
        bench.first.cancel_sync()
        bench.said.append("cancelled")

    bench.run(program)
    assert queued == [False]
    assert bench.said[-1] == "cancelled"


def test_an_item_that_waits_for_itself_is_a_deadlock() -> None:
    bench = Bench()
    bench.item(1, "first", lambda: bench.first.flush())
    outcome = bench.run(lambda: bench.first.schedule())
    assert outcome.end is End.DEADLOCK


def test_whoever_flushes_under_the_items_lock_is_in_a_deadlock() -> None:
    bench = Bench()
    lock = Mutex(bench.sim, "lock", bench.held)

    def body() -> None:
        with lock:
            pass

    bench.item(1, "first", body)

    def program() -> None:
        with lock:
            bench.first.schedule()
            bench.first.flush()

    deadlock = bench.run(program).deadlock
    assert isinstance(deadlock, Deadlock)
    assert "CPU 0 waits for first of CPU 2 (kworker)" in str(deadlock)


def test_in_a_setup_what_is_queued_runs_behind_the_operation() -> None:
    bench = Bench()
    bench.first.schedule()
    bench.second.schedule()
    assert bench.said == []
    assert bench.second.flush()
    assert bench.said == ["second begins on CPU 3", "second ends"]
    bench.first.cancel()
    bench.pool.run_in_setup()
    assert bench.first.is_idle
    bench.first.schedule()
    bench.pool.run_in_setup()
    assert bench.said[2:] == ["first begins on CPU 2", "first ends"]


RIGHT = (Deferred, Flushed, TwoItems, Cancelled)


@slow
@pytest.mark.parametrize("design", RIGHT)
@pytest.mark.parametrize("name", ["zap-zap", "map-zap"])
def test_a_right_design_is_clean_in_every_order(design: type[RefcountLayer], name: str) -> None:
    result = verify(SCENARIOS[name].case(design.__name__), design, Bounds(2))
    assert result.found is None
    assert result.verdict is Verdict.PASS


@slow
@pytest.mark.parametrize("design", RIGHT)
def test_a_right_design_is_clean_in_hunts(design: type[RefcountLayer]) -> None:
    for scenario in WITHOUT_2MB:
        plan = HuntPlan(design.__name__, Budget(cases=60), design=design, scenario=scenario)
        assert not hunt(plan).findings, scenario.name


MISTAKES = [
    pytest.param(DeferredUnchecked, "map-zap", "PAMT_PAGE_NOT_EMPTY", marks=slow),
    (ScheduledFirst, "zap-zap", "is allocated, but no owner will free it"),
    (FlushedInAtomic, "map-zap", "calls flush_work(work remove idle ranges) with vm0.mmu_lock"),
    pytest.param(
        FlushedUnderItsMutex,
        "map-zap",
        "CPU 0 waits for work remove idle ranges, which CPU 2 (kworker) holds",
        marks=slow,
    ),
]


@pytest.mark.parametrize(("design", "name", "said"), MISTAKES)
def test_a_mistake_is_found_by_verify(design: type[RefcountLayer], name: str, said: str) -> None:
    found = verify(SCENARIOS[name].case(design.__name__), design, Bounds(2)).found
    assert found is not None
    assert any(said in finding.message for finding in found.findings), found.findings
    again = run(found.case, design, traced=True)
    assert again.findings == found.findings
    assert "CPU 2" in columns(again)


@slow
@pytest.mark.parametrize(
    "design",
    [
        DeferredUnchecked,
        ScheduledFirst,
        FlushedInAtomic,
        FlushedUnderItsMutex,
        CancelledOnly,
        RemovedUnlocked,
    ],
)
def test_a_mistake_is_found_by_a_hunt(design: type[RefcountLayer]) -> None:
    plan = HuntPlan(design.__name__, Budget(cases=2_000), design=design)
    found = hunt(plan).found
    assert found is not None
    assert found.finding is not None


def test_more_items_than_workers_is_told() -> None:
    with pytest.raises(DesignError, match="say with `kworkers` how many items can be queued"):
        verify(SCENARIOS["zap-zap"].case("TooFewWorkers"), TooFewWorkers, Bounds(0))


@slow
@pytest.mark.parametrize("design", [Deferred, ScheduledFirst])
def test_verify_leaves_out_no_end_and_no_bug(design: type[RefcountLayer]) -> None:
    """Orders that are left out lead to states that others lead to."""
    case = SCENARIOS["zap-zap"].case(design.__name__)
    ends = []
    for bounds in (Bounds(), Bounds(sleep=False), Bounds(2), Bounds(2, reduce=False)):
        result = verify(case, design, bounds, until=StopRule.EVERY_BUCKET)
        ends.append((result.counts.finals, sorted(result.firsts)))
    assert ends[0] == ends[1]
    assert ends[2] == ends[3]
