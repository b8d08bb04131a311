"""Seqcounts, per-CPU counts, RCU and completions: right uses are clean, mistakes are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.kernel.grace import GracePeriods
from tdxfuzz.host.kernel.held import HeldLocks
from tdxfuzz.host.kernel.workqueue import Workqueue
from tdxfuzz.run.session import run
from tdxfuzz.sim import End, Simulator
from tdxfuzz.verify.search import StopRule, Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import only_quick, slow
from waiting_designs import (
    Completed,
    CompletedForOne,
    CountedPerCpu,
    CountedPreemptibly,
    Recorded,
    RecordedInTheOpen,
    RecordedUnchecked,
    SleepsUnpreempted,
    Tabled,
    TabledAsleep,
    TabledAtOnce,
    TabledLater,
    TabledSleepily,
    TabledUnderALock,
    TabledUnread,
)

RIGHT = [Recorded, CountedPerCpu, Tabled, TabledLater, Completed]

MISTAKES = [
    (RecordedUnchecked, "map-zap", "half of a pair was read"),
    (RecordedInTheOpen, "map-zap", "write_seqcount_begin(record) with preemption on"),
    (CountedPreemptibly, "map-zap", "__this_cpu_read(pairs) in preemptible code"),
    (SleepsUnpreempted, "map-zap", "synchronize_rcu() with preemption off"),
    (TabledAtOnce, "map-map", "a table is read that was freed"),
    (TabledUnread, "map-map", "a table is read that was freed"),
    (TabledAsleep, "map-map", "CPU 0 calls synchronize_rcu() in RCU"),
    (TabledSleepily, "map-map", "CPU 2 calls synchronize_rcu() in RCU"),
    (TabledUnderALock, "map-map", "calls rcu_barrier() with pamt_lock held"),
    (CompletedForOne, "map-map", "waits for removed, which nobody completes"),
]

WITHOUT_2MB = [scenario for scenario in SCENARIOS.values() if not scenario.world.areas]


@pytest.mark.parametrize("design", only_quick([Recorded, CountedPerCpu, Tabled], RIGHT))
@pytest.mark.parametrize("name", ["map-map", "map-zap"])
def test_a_right_design_is_clean_in_every_order(design: type[RefcountLayer], name: str) -> None:
    result = verify(SCENARIOS[name].case(design.__name__), design, Bounds(1))
    assert result.found is None
    assert result.verdict is Verdict.PASS


@slow
@pytest.mark.parametrize("design", RIGHT)
def test_a_right_design_is_clean_in_hunts(design: type[RefcountLayer]) -> None:
    for scenario in WITHOUT_2MB:
        plan = HuntPlan(design.__name__, Budget(cases=40), design=design, scenario=scenario)
        assert not hunt(plan).findings, scenario.name


@pytest.mark.parametrize(("design", "name", "said"), MISTAKES)
def test_a_mistake_is_found_by_verify(design: type[RefcountLayer], name: str, said: str) -> None:
    found = verify(SCENARIOS[name].case(design.__name__), design, Bounds(1)).found
    assert found is not None
    assert any(said in finding.message for finding in found.findings), found.findings
    assert run(found.case, design).findings == found.findings


@slow
@pytest.mark.parametrize("design", [design for design, _, _ in MISTAKES])
def test_a_mistake_is_found_by_a_hunt(design: type[RefcountLayer]) -> None:
    assert hunt(HuntPlan(design.__name__, Budget(cases=3_000), design=design)).found is not None


@slow
@pytest.mark.parametrize(
    "design", [Recorded, RecordedUnchecked, Tabled, TabledLater, TabledAtOnce, CompletedForOne]
)
def test_verify_leaves_out_no_end_and_no_bug(design: type[RefcountLayer]) -> None:
    """Orders that are left out lead to states that others lead to."""
    case = SCENARIOS["map-map"].case(design.__name__)
    ends = []
    for bounds in (Bounds(1), Bounds(1, reduce=False)):
        result = verify(case, design, bounds, until=StopRule.EVERY_BUCKET)
        ends.append((result.counts.finals, sorted(result.firsts)))
    assert ends[0] == ends[1]


def test_a_loop_that_waits_for_a_writer_for_ever_is_a_livelock() -> None:
    class Stuck(Recorded):
        """A writer that waits for somebody else, inside."""

        def first(self, count: object) -> None:
            with self.record.write():
                while self.record.read_begin():
                    self.cpu_relax()

    found = hunt(HuntPlan("Stuck", Budget(cases=5), design=Stuck)).found
    assert found is not None
    assert found.finding is not None
    assert found.finding.check == "livelock"


class Bench:
    """RCU with two programs and two kworkers."""

    def __init__(self) -> None:
        self.sim = Simulator(2, workers=2)
        held = HeldLocks(self.sim, 4)
        self.pool = Workqueue(self.sim, held)
        self.rcu = GracePeriods(self.sim, held, self.pool)
        self.said: list[str] = []

    def run(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        assert self.sim.run([first, second]).end is End.REST

    def switch_to(self, cpu: int) -> None:
        self.sim.go_on_with(self.sim.cpus[cpu])


def test_a_grace_period_waits_for_those_that_read_when_it_began_and_no_others() -> None:
    bench = Bench()

    def reader() -> None:
        with bench.rcu.read(), bench.rcu.read():
            bench.switch_to(1)
            bench.said.append("reads")
        with bench.rcu.read():
            bench.switch_to(1)
            bench.said.append("reads again")

    def writer() -> None:
        bench.rcu.synchronize()
        bench.said.append("synchronized")

    bench.run(reader, writer)
    assert bench.said == ["reads", "synchronized", "reads again"]


def test_callbacks_run_behind_readers_and_a_barrier_waits_for_them() -> None:
    bench = Bench()

    def reader() -> None:
        with bench.rcu.read():
            bench.switch_to(1)
            bench.said.append("reads")

    def writer() -> None:
        for number in (1, 2):
            bench.rcu.call(lambda which: bench.said.append(f"callback {which}"), number)
        bench.rcu.barrier()
        bench.said.append("all are done")

    bench.run(reader, writer)
    assert bench.said == ["reads", "callback 1", "callback 2", "all are done"]
    assert bench.pool.in_key(lambda value: value) == ()  # type: ignore[arg-type]
