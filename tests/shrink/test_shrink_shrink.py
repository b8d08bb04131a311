"""The shrinker keeps its contract: same bucket, never larger, idempotent, deterministic."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.abi import Registers, Status
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.case.world import World
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.seamcalls import Answer
from tdxfuzz.host.kvm.under import under
from tdxfuzz.host.kvm.vm import Vm
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.shrink import order_search
from tdxfuzz.shrink.candidate import Candidate
from tdxfuzz.shrink.order_search import OrderSearch
from tdxfuzz.shrink.shrink import shrink, size
from tdxfuzz.shrink.simplify import tds_at_rest
from tdxfuzz.sim import Fault, Schedule
from tiers import first_quick, slow

SEEDS = (1, 2, 7)


@pytest.fixture(scope="module", params=first_quick(1, SEEDS))
def found(request: pytest.FixtureRequest) -> Run:
    cpus = 2 + request.param % 2
    plan = HuntPlan("hint", Budget(cases=20_000), seed=request.param, cpus=cpus)
    found = hunt(plan).found
    assert found is not None
    return found


@pytest.fixture(scope="module")
def shrunk(found: Run) -> Run:
    return shrink(found).run


def bucket(of: Run) -> str:
    assert of.finding is not None
    return of.finding.bucket


def test_the_bucket_stays(found: Run, shrunk: Run) -> None:
    assert bucket(shrunk) == bucket(found)


def test_nothing_gets_larger(found: Run, shrunk: Run) -> None:
    assert size(shrunk) <= size(found)


def test_the_result_replays_by_itself(shrunk: Run) -> None:
    again = run(shrunk.case)
    assert bucket(again) == bucket(shrunk)
    assert again.order == shrunk.case.schedule, "no switch of it does nothing"


def test_shrinking_again_changes_nothing(shrunk: Run) -> None:
    again = shrink(shrunk)
    assert again.run.case == shrunk.case
    assert not again.stopped_early


def test_the_same_run_shrinks_to_the_same_case(found: Run, shrunk: Run) -> None:
    assert shrink(found).run.case == shrunk.case


def test_two_operations_and_two_preemptions_are_enough_for_the_hint_race(shrunk: Run) -> None:
    assert shrunk.case.operations == 2
    assert shrunk.preemptions <= 2


def test_progress_only_ever_gets_smaller(found: Run) -> None:
    sizes = [size(found)]
    shrink(found, progress=lambda run, replays: sizes.append(size(run)))
    assert sizes == sorted(sizes, reverse=True)


def test_a_clean_run_cannot_be_shrunk() -> None:
    with pytest.raises(ValueError, match="no finding"):
        shrink(run(Case("merged", World())))


def test_switches_that_the_bug_does_not_need_are_left_out() -> None:
    case = SCENARIOS["map-zap"].case("hint")
    idle = [(step + i, (i + 1) % 2) for step in (3, 12, 30, 52, 71) for i in (0, 1)]
    tried = (run(case.with_schedule(Schedule.of([*idle, (step, 1)]))) for step in range(80, 200))
    crowded = next(each for each in tried if each.finding is not None)
    assert crowded.preemptions > 5
    search = OrderSearch(bucket(crowded), None)
    fewer = search.with_fewer_switches(crowded)
    assert bucket(fewer) == bucket(crowded)
    assert fewer.preemptions <= 2
    assert fewer.case.programs == case.programs


def test_the_only_switch_is_left_out_too() -> None:
    """What a softirq does it does in the default order as well."""
    setup = (Op.parse("create 0"), Op.parse("map 0 0"))
    alone = Case("v5", World(cpus=1, tds=1, slots=1), setup, ((Op.parse("destroy 0"),),))
    tried = (run(alone.with_schedule(Schedule.of([(step, 1)]))) for step in range(400))
    interrupted = next(each for each in tried if each.finding and each.preemptions)
    assert bucket(interrupted) == "irq-safety/-/-/pamt_lock"
    shrunk = shrink(interrupted).run
    assert (shrunk.case.operations, shrunk.preemptions) == (1, 0)


def test_an_interrupt_is_looked_for_where_one_cpu_has_all_the_work() -> None:
    world = World(1, tds=2, slots=2, guest_ranges=(0, 4), fresh_ranges=(3,))
    setup = tuple(map(Op.parse, ("create 0", "create 1", "map 1 1")))
    programs = (tuple(map(Op.parse, ("map 0 0", "destroy 0", "map 1 0"))),)
    case = Case("v5", world, setup, programs, checks=("deadlock",))
    search = OrderSearch("deadlock/-/-/pamt_lock softirq", None)
    hit = search.search(Candidate(case, search_everywhere=True), [], 1)
    assert hit is not None
    assert hit.preemptions == 1
    # Where nothing can interrupt, the first order is the last one.
    search = OrderSearch("deadlock/-/-/pamt_lock softirq", None)
    other = Candidate(evolve(case, design="v6"), search_everywhere=True)
    assert search.search(other, [], 1) is None
    assert search.replays == 2


@slow
def test_two_tds_that_come_and_go_make_up_for_it_with_a_preemption_less() -> None:
    """Heavy reading, but the pages that come and go need two preemptions."""
    setup = tuple(map(Op.parse, ("create 0", "create 1", "map 0 0")))
    programs = ((Op.parse("zap 0 0"),), (Op.parse("map 1 0"),))
    world = World(slots=1, guest_ranges=(0,), kernel_ranges=(1, 2))
    case = Case("bias-minus-one", world, setup, programs)
    pages = run(case.with_schedule(Schedule.of([(66, 1), (164, 0)])))
    assert bucket(pages) == "pamt-in-use/TDH.PHYMEM.PAMT.REMOVE/SUCCESS/range"
    tds = shrink(pages).run
    assert (tds.case.operations, tds.preemptions) == (2, 1)
    assert {op.name for program in tds.case.programs for op in program} == {"create", "destroy"}


@slow
def test_a_bug_that_shows_in_used_memory_is_shown_there() -> None:
    """Two maps in memory that nobody has used come to the same as two TDs in the usual ranges."""
    fresh = Case(
        "per-range-lock",
        World(slots=1, kernel_ranges=(2,), fresh_ranges=(3, 4)),
        tuple(map(Op.parse, ("create 0", "create 1"))),
        ((Op.parse("map 0 0"),), (Op.parse("map 1 0"),)),
        Schedule.of([(12, 1)]),
    )
    usual = Case(
        "per-range-lock",
        World(slots=1),
        programs=((Op.parse("create 0"),), (Op.parse("create 1"),)),
        schedule=Schedule.of([(11, 1)]),
    )
    shrunk = shrink(run(fresh)).run.case
    assert shrunk == shrink(run(usual)).run.case
    assert not shrunk.world.fresh_ranges


AREAS = World(slots=1, kernel_ranges=(2,), areas=1, fresh_ranges=(3, 4), entries=4)
SPLITS = tuple(map(Op.parse, ("create 0", "create 1", "map2m 0 0", "map2m 1 0")))


@slow
@pytest.mark.parametrize("beside", ["accept4k 1 0", "map2m 1 0", "map 1 0"])
def test_a_bug_of_2mb_pages_ends_in_the_simplest_pair(beside: str) -> None:
    case = Case("v4", AREAS, SPLITS[:3], ((Op.parse("accept4k 0 0"),), (Op.parse(beside),)))
    found = run(case.with_schedule(Schedule.of([(73, 1)])))
    assert bucket(found) == "pamt-in-use/TDH.PHYMEM.PAMT.ADD/OPERAND_BUSY/range"
    programs = shrink(found).run.case.programs
    assert programs == ((Op.parse("accept4k 0 0"),), (Op.parse("map 1 0"),))


@slow
def test_operations_of_a_program_are_put_in_order_where_that_does_not_matter() -> None:
    warm, splits = Op.parse("map 0 0"), Op.parse("accept4k 0 0")
    other = (Op.parse("accept4k 1 0"),)
    ends = []
    for program, step in (((splits, warm), 129), ((warm, splits), 156)):
        case = Case("v5-irqsave", AREAS, SPLITS, (program, other), Schedule.of([(step, 1)]))
        found = run(case)
        assert bucket(found) == "unexpected-status/TDH.MEM.PAGE.DEMOTE/OPERAND_BUSY/-"
        ends.append(shrink(found).run.case)
    assert ends[0] == ends[1]


def test_an_operation_more_is_less_than_memory_that_runs_out() -> None:
    """Two ways to v4's put of a range that has no pair any more."""
    world = World(slots=1, kernel_ranges=(2,))
    zap_and_map = Case(
        "v4",
        world,
        (Op("create", (0,)), Op("create", (1,)), Op("map", (0, 0))),
        ((Op("zap", (0, 0)),), (Op("map", (1, 0)), Op("zap", (1, 0)))),
        Schedule.of([(64, 1)]),
    )
    failing = Case(
        "v4",
        world,
        (Op("create", (0,)),),
        ((Op("destroy", (0,)),), (Op("create", (1,)),)),
        Schedule.of([(133, 1)]),
        faults=(Fault("alloc", 3),),
    )
    plain, memory_out = run(zap_and_map), run(failing)
    assert bucket(plain) == bucket(memory_out)
    assert size(plain) < size(memory_out)
    assert run(evolve(failing, faults=())).finding is None, "two operations alone are not enough"


def with_ranges(case: Case, guest: tuple[int, ...], kernel: tuple[int, ...]) -> Case:
    return evolve(case, world=evolve(case.world, guest_ranges=guest, kernel_ranges=kernel))


@pytest.mark.parametrize(
    ("guest", "kernel"), [((0,), (1,)), ((0,), (0,)), ((0,), (0, 1)), ((1, 3), (2, 5))]
)
def test_the_same_bug_in_other_ranges_ends_in_the_same_case(
    guest: tuple[int, ...], kernel: tuple[int, ...]
) -> None:
    life = tuple(map(Op.parse, ("create 0", "map 0 0", "zap 0 0", "destroy 0")))
    usual = Case("rfc", World(cpus=1, tds=1, slots=1), (), (life,))
    other = with_ranges(usual, guest, kernel)
    assert bucket(run(other)) == bucket(run(usual))
    assert shrink(run(other)).run.case == shrink(run(usual)).run.case


@slow
def test_the_same_bug_on_another_td_ends_in_the_same_case() -> None:
    setup = tuple(map(Op.parse, ("create 1", "create 0", "map 1 1")))
    world = World(tds=2, slots=2)
    programs = ((Op.parse("map 0 1"),), (Op.parse("zap 1 1"),))
    tried = (
        run(Case("hint", world, setup, programs, Schedule.of([(step, 1)]))) for step in range(400)
    )
    other = next(each for each in tried if each.finding is not None)
    usual = SCENARIOS["map-zap"].case("hint")
    tried = (run(usual.with_schedule(Schedule.of([(step, 1)]))) for step in range(400))
    here = next(each for each in tried if each.finding and bucket(each) == bucket(other))
    assert shrink(other).run.case == shrink(here).run.case


@pytest.mark.parametrize("programs", [((),), ((Op.parse("map 0 0"),),)])
def test_a_bug_that_the_setup_shows_is_moved_into_a_program(
    programs: tuple[tuple[Op, ...], ...],
) -> None:
    """The programs of a shrunk case are needed, even where the finding comes at the end."""
    setup = (Op.parse("create 0"),)
    told = run(Case("per-range-rwlock", World(cpus=1, tds=1, slots=1), setup, programs))
    assert bucket(told) == "lock-order/-/-/pamt_rwlock"
    shrunk = shrink(told).run.case
    assert shrunk.setup == ()
    assert shrunk.programs == (setup,)


@slow
def test_operations_of_the_setup_that_need_each_other_go_together() -> None:
    setup = tuple(map(Op.parse, ("create 1", "create 0", "destroy 0")))
    programs = ((Op.parse("destroy 1"),), (Op.parse("create 0"),))
    order = Schedule.of([(107, 1)])
    found = run(Case("bias-minus-one", World(slots=1), setup, programs, order))
    assert bucket(found) == "unexpected-status/TDH.MNG.CREATE/OPERAND_BUSY/-"
    assert shrink(found).run.case.setup == (Op.parse("create 0"),)


def test_it_stops_after_so_many_runs_with_what_it_has(
    found: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_search, "ENOUGH", 60)
    result = shrink(found)
    assert result.replays <= 60
    assert result.stopped_early
    assert bucket(result.run) == bucket(found)
    assert size(result.run) <= size(found)
    assert shrink(found).run.case == result.run.case


def test_a_guest_script_shrinks_to_what_is_needed() -> None:
    """TRACK is left out: a vCPU that is in the guest at all suffices."""

    class NoTrack(Kvm):
        def track(self, vm: Vm) -> Answer:
            return Status(0), Registers()

    setup = ("create 0", "vcpu 0", "finalize 0", "map 0 0")
    enter = "enter 0 0 touch:0,read:0,accept:0,hlt,touch:0"
    programs = (tuple(map(Op.parse, (enter,))), (Op.parse("zap 0 0"),))
    case = Case("Mutant", World(cpus=2, tds=1), tuple(map(Op.parse, setup)), programs)
    layer = under(Merged, NoTrack)
    runs = (run(case.with_schedule(Schedule.of([(at, 1)])), layer) for at in range(1, 200))
    found = next(each for each in runs if each.finding is not None)
    best = shrink(found, layer).run
    assert best.case.operations <= 2
    assert all(len(op.script) <= 1 for line in best.case.programs for op in line)


def test_a_td_that_need_not_run_is_at_rest() -> None:
    """What a guest asked for, KVM does without it: one bug is one file, be it in a running TD."""
    setup = ("create 0", "create 1", "vcpu 0", "map2m 0 0", "finalize 0")
    enters = "enter 0 0 accept4k:a0,touch:1,hlt", "enter 1 0 accept:0"
    programs = (tuple(map(Op.parse, enters)), (Op.parse("map 1 0"),))
    case = Case("v3", World(tds=2, slots=2, areas=1), tuple(map(Op.parse, setup)), programs)
    (at_rest,) = tds_at_rest(case)
    assert [str(op) for op in at_rest.case.setup] == ["create 0", "create 1", "map2m 0 0"]
    assert [[str(op) for op in program] for program in at_rest.case.programs] == [
        ["accept4k 0 0", "map 0 1", enters[1]],
        ["map 1 0"],
    ]
