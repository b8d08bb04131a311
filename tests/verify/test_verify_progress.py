"""Does every order end? Cycles of states, fair ones and others, and what is said of them."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design import AtomicT, PageCache
from tdxfuzz.host.designs.hint import Hint
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.repro.read import parse
from tdxfuzz.repro.reproducer import Expect, Origin, Reproducer
from tdxfuzz.repro.write import to_toml
from tdxfuzz.run.observer import digest_of
from tdxfuzz.run.session import Session, run
from tdxfuzz.run.shared_state import SharedState
from tdxfuzz.sim import End, Schedule
from tdxfuzz.verify.progress import END, Edge, LoopKind, StateGraph, components
from tdxfuzz.verify.search import StopRule, Verdict, verify
from tiers import first_quick, slow

A, B, C = b"a", b"b", b"c"


def graph(*edges: tuple[bytes, int, bytes], idle: int = 0) -> StateGraph:
    """A graph of states, one step an edge; the first edge begins at the start."""
    made = StateGraph()
    made.arrive(None, Edge(edges[0][0], 0, 0, 0), idle)
    for source, cpu, to in edges:
        for state in (source, to):
            if state != END:
                made.edges.setdefault(state, {})
                made.idle[state] = idle
        made.edges[source][cpu] = Edge(to, 1, 1 << cpu, idle)
    return made


def test_a_cycle_in_which_both_cpus_step_is_a_trap_if_no_end_can_be_reached() -> None:
    (cycle,) = graph((A, 0, B), (B, 1, A)).cycles(2)
    assert cycle.kind is LoopKind.TRAP
    assert cycle.cpus == (0, 1)
    assert cycle.schedule == Schedule(Schedule.of([(0, 0), (1, 1), (2, 0)]).switches, (0, 2))


def test_it_is_a_starvation_if_an_end_can_be_reached() -> None:
    (cycle,) = graph((A, 0, B), (B, 1, A), (B, 0, END)).cycles(2)
    assert cycle.kind is LoopKind.STARVATION


def test_a_cycle_in_which_a_cpu_that_can_run_never_steps_is_not_fair() -> None:
    assert not list(graph((A, 0, B), (B, 0, A)).cycles(2))
    assert list(graph((A, 0, B), (B, 0, A), idle=2).cycles(2)), "CPU 1 waits for a lock"


def test_a_cycle_is_reached_from_the_start_and_gone_through_once() -> None:
    (cycle,) = graph((A, 1, B), (B, 0, C), (C, 1, B)).cycles(2)
    assert cycle.schedule.loop == (1, 3)
    assert [(s.step, s.cpu) for s in cycle.schedule] == [(0, 1), (1, 0), (2, 1), (3, 0)]


def test_components_of_a_graph_without_cycles_are_its_states() -> None:
    found = list(components({A: [B, C], B: [C], C: []}))
    assert sorted(map(len, found)) == [1, 1, 1]


def test_components_join_states_that_reach_each_other() -> None:
    found = list(components({A: [B], B: [A, C], C: [C]}))
    assert sorted(map(sorted, found)) == [[A, B], [C]]


class SpinsUnderALock(Merged):
    """A get waits for a flag under a lock; the put that lowers the flag needs the lock."""

    def setup(self) -> None:
        super().setup()
        self.slots = self.rwlock("slots")
        self.updating = self.atomic("updating")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        with self.slots.read():
            while self.updating.read():
                self.cpu_relax()
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        self.updating.set(1)
        with self.slots.write():
            self.updating.set(0)
        super().put(pfn, hint)


class SpinsAndWarns(SpinsUnderALock):
    """As above, and each put warns."""

    def put(self, pfn: int, hint: bool = False) -> None:
        self.warn("a put")
        super().put(pfn, hint)


def scenario(name: str, design: type) -> Case:
    return SCENARIOS[name].case(design.__name__)


@slow
def test_a_cpu_that_spins_while_it_holds_what_the_other_needs_is_a_trap() -> None:
    verified = verify(scenario("map-zap", SpinsUnderALock), SpinsUnderALock)
    assert verified.verdict is Verdict.FAIL
    assert verified.ends is False
    assert verified.loop is LoopKind.TRAP
    assert verified.found is not None
    assert verified.found.finding is not None
    assert verified.found.finding.bucket == "livelock/-/-/retry loop"


@slow
def test_a_loop_replays_and_its_claim_is_looked_at() -> None:
    found = verify(scenario("map-zap", SpinsUnderALock), SpinsUnderALock).found
    assert found is not None
    loop = found.case.schedule.loop
    assert loop is not None
    again = run(found.case, SpinsUnderALock)
    assert again.outcome.end is End.LIVELOCK
    assert again.order == found.order
    wrong = evolve(found.case.schedule, loop=(loop[0] - 1, loop[1]))
    judged = run(found.case.with_schedule(wrong), SpinsUnderALock).outcome.livelock
    assert judged is None or judged.loop != wrong.loop, "the steps do not lead back there"
    fixed = run(evolve(found.case, design="merged"))
    assert fixed.finding is None, "under another design these steps lead on"


def test_a_loop_is_kept_in_a_file() -> None:
    found = verify(scenario("map-zap", SpinsUnderALock), SpinsUnderALock).found
    assert found is not None
    assert found.finding is not None
    case = evolve(found.case, design="merged")
    expect = Expect(found.finding.bucket, found.finding.message)
    text = to_toml(Reproducer(case, expect, Origin(1, 1)))
    assert parse(text).case.schedule.loop == found.case.schedule.loop
    assert 'loop = "' not in text


class Delays(Merged):
    """Correct: each get lets time pass first."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        for _ in range(2):
            self.cpu_relax()
        return super().get(pfn, cache)


class TakesTwoInTurn(Merged):
    """Two try-locks, taken in opposite orders, given back and tried again."""

    def setup(self) -> None:
        super().setup()
        self.first, self.second = self.atomic("first"), self.atomic("second")

    def both(self, one: AtomicT, other: AtomicT) -> None:
        while True:
            if one.cmpxchg(0, 1) == 0:
                if other.cmpxchg(0, 1) == 0:
                    return
                one.set(0)
            self.cpu_relax()

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        self.both(self.first, self.second)
        result = super().get(pfn, cache)
        self.second.set(0)
        self.first.set(0)
        return result

    def put(self, pfn: int, hint: bool = False) -> None:
        self.both(self.second, self.first)
        super().put(pfn, hint)
        self.first.set(0)
        self.second.set(0)


@pytest.mark.parametrize("name", first_quick(1, ["map-map", "map-zap", "zap-remap"]))
def test_rounds_in_which_a_cpu_goes_on_by_itself_end_where_orders_at_random_end(name: str) -> None:
    case = scenario(name, Delays)
    verified = verify(case, Delays)
    assert verified.verdict is Verdict.PASS
    assert verified.ends is True
    rng = Random(5)
    for _ in range(60):
        pairs = [(rng.randrange(200), rng.randrange(2)) for _ in range(rng.randrange(8))]
        session = Session(case.with_schedule(Schedule.of(pairs)), Delays)
        assert session.run_programs().outcome.end is End.REST
        assert digest_of(SharedState(session.host)) in verified.counts.finals


@slow
def test_two_try_locks_in_opposite_orders_starve() -> None:
    verified = verify(scenario("map-zap", TakesTwoInTurn), TakesTwoInTurn)
    assert verified.verdict is Verdict.FAIL
    assert verified.loop is LoopKind.STARVATION
    assert verified.found is not None
    assert run(verified.found.case, TakesTwoInTurn).outcome.end is End.LIVELOCK


def test_what_the_check_for_loops_was_not_asked_is_not_claimed() -> None:
    case = evolve(SCENARIOS["map-map"].case("hint"), checks=("refcount",))
    verified = verify(case)
    assert verified.verdict is Verdict.PASS
    assert verified.ends is None


@pytest.mark.parametrize("until", [StopRule.EVERY_CHECK, StopRule.EVERY_BUCKET])
def test_a_loop_among_other_findings_is_shown_alone(until: StopRule) -> None:
    case = scenario("map-zap", SpinsAndWarns)
    verified = verify(case, SpinsAndWarns, until=until)
    firsts = {name.split("/")[0]: run for name, run in verified.firsts.items()}
    assert set(firsts) == {"livelock", "unexpected-status"}
    assert firsts["livelock"].case.checks == ("livelock",)


@slow
def test_a_trace_shows_the_loop_once() -> None:
    found = verify(scenario("map-zap", SpinsUnderALock), SpinsUnderALock).found
    assert found is not None
    loop = found.case.schedule.loop
    assert loop is not None
    trace = run(found.case, SpinsUnderALock, traced=True).trace
    assert trace is not None
    assert max(record.step for record in trace if record.kind == "step") == loop[1] - 1


def test_without_a_retry_point_every_order_ends() -> None:
    verified = verify(SCENARIOS["zap-zap"].case("merged"))
    assert verified.verdict is Verdict.PASS
    assert verified.ends is True
    assert verified.loop is None


class Accepts(SpinsUnderALock):
    """Declares a starvation; what it has is a trap."""

    may_starve = "not here"


@slow
def test_a_trap_is_a_finding_whatever_a_design_declares() -> None:
    assert verify(scenario("map-zap", Accepts), Accepts).loop is LoopKind.TRAP


class DeclaredHint(Hint):
    """The lazy scheme, its starvation declared."""

    may_starve = "KVM tries a fault again that hears BUSY"


@slow
def test_a_starvation_that_is_declared_is_part_of_a_pass() -> None:
    case = SCENARIOS["map-map"].case("hint")
    plain = verify(case)
    assert plain.verdict is Verdict.FAIL
    assert plain.loop is LoopKind.STARVATION
    declared = verify(case, DeclaredHint)
    assert declared.verdict is Verdict.PASS
    assert declared.starves
    assert declared.ends is False
