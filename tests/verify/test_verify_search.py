"""All orders: exact counts, the same ends as brute force, and verdicts that are earned."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS, with_cpus
from tdxfuzz.case.world import World
from tdxfuzz.host.design import PageCache
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.observer import digest_of
from tdxfuzz.run.session import Session, run
from tdxfuzz.run.shared_state import SharedState
from tdxfuzz.sim import End, Schedule
from tdxfuzz.verify import table_search
from tdxfuzz.verify.checkpoint import CheckpointError, load, save
from tdxfuzz.verify.progress import LoopKind
from tdxfuzz.verify.search import StopRule, Verdict, VerifyResult, verify
from tdxfuzz.verify.worklist import Bounds, SearchCounts, Worklist
from tiers import first_quick, long, slow

FULL = Bounds()


def scenario(name: str, design: str) -> Case:
    return SCENARIOS[name].case(design)


def counts(verified: VerifyResult) -> tuple[int, int, int, int, int]:
    done = verified.counts
    return done.states, done.transitions, done.schedules, done.depth, len(done.finals)


@pytest.mark.parametrize(
    ("name", "design", "expected"),
    [
        ("zap-zap", "merged", (200, 347, 115, 14, 2)),
        ("zap-zap", "v6", (116, 197, 76, 11, 2)),
        ("zap-remap", "merged", (436, 645, 214, 22, 3)),
        ("convert-map", "v6", (117, 169, 75, 20, 2)),
        ("map-zap", "v6", (181, 243, 86, 21, 2)),
        ("map-zap", "merged", (363, 499, 161, 21, 2)),
        ("fault-fault", "merged", (1348, 2079, 633, 34, 2)),
        pytest.param("vcpu-map", "merged", (1046, 1727, 628, 37, 1), marks=slow),
        pytest.param("create-create", "merged", (99130, 136402, 16290, 96, 6), marks=[slow, long]),
    ],
)
def test_exact_counts_of_small_scenarios(
    name: str, design: str, expected: tuple[int, int, int, int, int]
) -> None:
    verified = verify(scenario(name, design))
    assert verified.verdict is Verdict.PASS
    assert counts(verified) == expected


@slow
def test_exact_counts_of_a_small_scenario_with_retry_loops() -> None:
    verified = verify(scenario("map-map", "hint"), tables=False)
    assert verified.loop is LoopKind.STARVATION
    assert counts(verified) == (3141, 6258, 3177, 60, 4)
    on_tables = verify(scenario("map-map", "hint"))
    assert on_tables.loop is LoopKind.STARVATION
    states, transitions, _, _, finals = counts(on_tables)
    assert (states, transitions, finals) == (3141, 6258, 4)


def test_exact_counts_of_a_small_scenario_where_nobody_sleeps() -> None:
    bounds = Bounds(sleep=False)
    assert counts(verify(scenario("map-zap", "merged"), None, bounds, tables=False)) == (
        363,
        726,
        410,
        21,
        2,
    )
    states, transitions, _, _, finals = counts(verify(scenario("map-zap", "merged"), None, bounds))
    assert (states, transitions, finals) == (363, 726, 2)


def ending(case: Case) -> bytes:
    """The digest of the state in which a case comes to rest."""
    session = Session(case)
    result = session.run_programs()
    assert result.outcome.end is End.REST
    return digest_of(SharedState(session.host))


@pytest.mark.parametrize("design", first_quick(1, ["merged", "v6"]))
@pytest.mark.parametrize("name", first_quick(1, ["map-zap", "zap-remap"]))
def test_one_preemption_ends_where_trying_every_place_ends(name: str, design: str) -> None:
    case = scenario(name, design)
    brute = set()
    for first in (0, 1):
        start = () if first == 0 else ((0, 1),)
        steps = run(case.with_schedule(Schedule.of(start))).outcome.steps
        brute.add(ending(case.with_schedule(Schedule.of(start))))
        for step in range(1, steps):
            pairs = (*start, (step, 1 - first))
            brute.add(ending(case.with_schedule(Schedule.of(pairs))))
    assert verify(case, bounds=Bounds(preemptions=1)).counts.finals == brute


@slow
def test_leaving_out_steps_that_commute_loses_no_end() -> None:
    case = scenario("zap-zap", "v6")
    reduced = verify(case)
    whole = verify(case, bounds=Bounds(reduce=False))
    assert reduced.counts.finals == whole.counts.finals
    assert reduced.counts.states * 10 < whole.counts.states


@pytest.mark.parametrize("design", ["hint", "hint-retry"])
@pytest.mark.parametrize(
    "name", first_quick(2, ["zap-zap", "convert-map", "map-zap", "zap-remap", "map-map"])
)
def test_nor_does_it_lose_a_bug_of_a_design_that_relies_on_hints(name: str, design: str) -> None:
    case = scenario(name, design)
    reduced, whole = (
        verify(case, bounds=Bounds(preemptions=1, reduce=reduce), until=StopRule.EVERY_BUCKET)
        for reduce in (True, False)
    )
    assert set(reduced.firsts) == set(whole.firsts)
    assert reduced.counts.finals == whole.counts.finals
    assert reduced.counts.states * 3 < whole.counts.states


@slow
def test_two_preemptions_end_where_trying_every_two_places_ends() -> None:
    case = scenario("zap-zap", "v6")
    brute = set()
    for first in (0, 1):
        start = () if first == 0 else ((0, 1),)
        steps = run(case.with_schedule(Schedule.of(start))).outcome.steps
        for one in range(1, steps, 7):
            for other in range(one + 1, steps):
                pairs = (*start, (one, 1 - first), (other, first))
                brute.add(ending(case.with_schedule(Schedule.of(pairs))))
    assert brute <= verify(case, bounds=Bounds(preemptions=2)).counts.finals


@pytest.mark.parametrize("name", first_quick(1, ["map-zap", "zap-remap", "convert-map"]))
def test_no_order_at_random_ends_elsewhere(name: str) -> None:
    case = scenario(name, "merged")
    finals = verify(case).counts.finals
    rng = Random(3)
    steps = run(case).outcome.steps
    for _ in range(100):
        pairs = [(rng.randrange(steps), rng.randrange(2)) for _ in range(rng.randrange(8))]
        assert ending(case.with_schedule(Schedule.of(pairs))) in finals


def test_a_bound_on_preemptions_sees_part_of_what_all_orders_are() -> None:
    case = scenario("map-zap", "v6")
    finals = [verify(case, bounds=Bounds(preemptions=n)).counts.finals for n in (0, 1, 2)]
    everything = verify(case).counts.finals
    assert finals[0] <= finals[1] <= finals[2] <= everything
    assert len(finals[0]) == 2, "one CPU after the other"


@pytest.mark.parametrize(
    ("name", "design", "bucket"),
    [
        ("map-zap", "hint", "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"),
        ("map-map", "early-inc", "pamt-in-use/TDH.PHYMEM.PAMT.ADD/not called/range"),
        (
            "zap-remap",
            "v4",
            "unexpected-status/TDH.PHYMEM.PAMT.REMOVE/NO_PAMT_PAGE_PAIR/-",
        ),
    ],
)
def test_a_bug_is_found_and_replays_by_itself(name: str, design: str, bucket: str) -> None:
    verified = verify(scenario(name, design))
    assert verified.verdict is Verdict.FAIL
    assert verified.found is not None
    finding = run(verified.found.case).finding
    assert finding is not None
    assert finding.bucket == bucket


class ReadsWhatItWrites(Merged):
    """A put that takes its lock for writing, and once more for reading."""

    def setup(self) -> None:
        super().setup()
        self.slots = self.rwlock("slots")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        with self.slots.read():
            pass
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        with self.slots.write(), self.slots.read():
            pass
        super().put(pfn, hint)


@pytest.mark.parametrize("until", list(StopRule))
def test_what_is_judged_at_the_end_is_not_said_of_a_run_that_was_cut_off(until: StopRule) -> None:
    """A run that comes to a state met before ends early: in full, it shows a deadlock."""
    verified = verify(
        scenario("map-zap", ReadsWhatItWrites.__name__), ReadsWhatItWrites, until=until
    )
    assert verified.verdict is Verdict.FAIL
    assert "deadlock" in {name.split("/")[0] for name in verified.firsts}


def test_every_check_can_find_something_of_its_own() -> None:
    verified = verify(scenario("zap-remap", "v4"), until=StopRule.EVERY_CHECK)
    assert set(verified.firsts) == {"unexpected-status", "refcount"}
    for check, found in verified.firsts.items():
        assert found.case.checks == (check,)
        assert found.finding is not None
        assert found.finding.check == check


def test_two_vcpus_that_fault_on_one_page_retry_and_that_is_one_state() -> None:
    programs = ((Op.parse("map 0 0"),), (Op.parse("map 0 0"),))
    world = World(slots=2, guest_ranges=(0, 3), tds=1)
    setup = tuple(map(Op.parse, ("create 0", "map 0 1")))
    verified = verify(Case("merged", world, setup, programs), bounds=Bounds(preemptions=2))
    assert verified.why.startswith("vacuous"), "only one of them gets anything"
    assert len(verified.counts.finals) > 1


def test_a_scenario_of_three_cpus_is_searched() -> None:
    case = with_cpus(SCENARIOS["zap-zap"], 3).case("v6")
    assert case.world.cpus == 3
    assert case.world.tds == 3
    assert verify(case, bounds=Bounds(preemptions=1)).verdict is Verdict.PASS


def test_too_many_states_or_too_little_time_leave_it_unknown() -> None:
    case = scenario("map-zap", "merged")
    few = verify(case, bounds=Bounds(states=50))
    assert (few.verdict, few.why) == (Verdict.UNKNOWN, "the bound of 50 states was reached")
    short = verify(case, bounds=Bounds(seconds=0))
    assert (short.verdict, short.why) == (Verdict.UNKNOWN, "the bound of 0 s was reached")


def test_programs_that_never_meet_prove_nothing() -> None:
    world = World(slots=2, guest_ranges=(0, 3), kernel_ranges=(1, 2))
    setup = tuple(map(Op.parse, ("create 0", "create 1", "map 0 1", "map 1 1")))
    case = Case("merged", world, setup, ((Op.parse("map 0 0"),), ()))
    verified = verify(case)
    assert verified.verdict is Verdict.UNKNOWN
    assert verified.why == (
        "vacuous: it never happened that two CPUs were in get or put for one range at the same time"
    )


def test_an_unfinished_search_goes_on_from_a_file(tmp_path: Path) -> None:
    case = scenario("map-zap", "v6")
    whole = verify(case)
    path = tmp_path / "search.gz"
    worklist, counts = Worklist(), SearchCounts()
    rounds = 0
    while True:
        bounds = evolve(FULL, seconds=counts.seconds)
        part = verify(case, bounds=bounds, worklist=worklist, counts=counts)
        rounds += 1
        if part.verdict is not Verdict.UNKNOWN:
            break
        save(path, "this one", worklist, counts)
        worklist, counts = load(path, "this one")
    assert rounds > 2
    assert part.verdict is Verdict.PASS
    assert part.counts.finals == whole.counts.finals


def test_a_pass_that_missed_choices_is_begun_again_even_from_a_file(tmp_path: Path) -> None:
    """Found out in the pass: at its end it begins again, and while it is young at once."""
    path = tmp_path / "search.gz"
    worklist = Worklist(todo=[], contended={"known", "found since"}, began=(1, 10))
    save(path, "this one", worklist, SearchCounts(schedules=5_000))
    loaded, counts = load(path, "this one")
    assert loaded.must_begin_again(counts.schedules)
    loaded.begin_again(counts.schedules)
    assert loaded.todo == [None]
    assert not loaded.must_begin_again(counts.schedules + 1), "all is known now"
    young = Worklist(contended={"found since"}, began=(0, 10))
    assert young.must_begin_again(11)
    assert not young.must_begin_again(5_000), "there may be more to find out"


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda data: data[: len(data) // 2], "cannot be read"),
        (lambda data: b"nonsense", "cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: object, problem: str) -> None:
    path = tmp_path / "search.gz"
    save(path, "one", Worklist(), SearchCounts())
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=problem):
        load(path, "one")


def test_a_checkpoint_of_another_search_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "search.gz"
    save(path, "one", Worklist(), SearchCounts())
    with pytest.raises(CheckpointError, match="identity: the checkpoint is of 'one', not of 'ano"):
        load(path, "another")


@pytest.mark.parametrize("bounds", [FULL, Bounds(1)], ids=["all orders", "one preemption"])
@pytest.mark.parametrize("tables", [False, True], ids=["runs", "tables"])
def test_a_cpu_without_a_program_ends_without_a_step_and_is_no_nondeterminism(
    bounds: Bounds, tables: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_search, "FIRST_RUNS", 0)
    two = scenario("zap-zap", "merged")
    first, second = two.programs
    three = evolve(two, world=evolve(two.world, cpus=3), programs=(first, (), second))
    verified = verify(three, bounds=bounds, tables=tables)
    assert verified.verdict is Verdict.PASS
    ends = verify(two, bounds=bounds, tables=tables).counts.finals
    assert len(verified.counts.finals) == len(ends)
