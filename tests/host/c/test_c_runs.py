"""Runs of layers in C: pure, put back, many of them, and through every door."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median

import pytest
from attrs import evolve
from hypothesis import Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test

from c_layers import needs_compiler, text_of, twin, write
from tdxfuzz.case.case import Case
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design_file import class_in
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.session import run
from tdxfuzz.run.worlds import Rerun, Worlds
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.sim import STATE, End, Schedule
from tdxfuzz.testing.assertions import Broken, assert_clean
from tdxfuzz.testing.designs import AnyDesign
from tdxfuzz.testing.stateful import concurrent_machine
from tdxfuzz.testing.strategies import cases
from tiers import long, slow

pytestmark = needs_compiler

PAGES = Path("/proc/self/statm")


def _hash(case: Case, worlds: Worlds | None, layer: str) -> str:
    ended = run(case, twin(layer), traced=True) if worlds is None else worlds.run(case, None, True)
    assert ended.trace is not None
    return ended.trace.hash()


@pytest.mark.parametrize("layer", ["v3", "merged"])
def test_a_run_does_not_depend_on_those_before_it(layer: str) -> None:
    rng = Random(4)
    worlds = Worlds(twin(layer))
    names = ("map-zap", "zap-remap", "split-map", "create-destroy")
    for _ in range(12):
        case = SCENARIOS[rng.choice(names)].case(layer)
        switches = [(rng.randrange(300), rng.randrange(2)) for _ in range(4)]
        case = case.with_schedule(Schedule.of(switches))
        assert _hash(case, worlds, layer) == _hash(case, None, layer)


def test_a_finding_replays_and_shrinks(tmp_path: Path) -> None:
    layer = class_in(write(tmp_path, text_of(before="int count;", get="	count++;")))
    found = hunt(HuntPlan("C", Budget(cases=300), design=layer, seed=2), ()).found
    assert found is not None
    again = run(found.case, layer)
    assert (again.findings, again.outcome.steps) == (found.findings, found.outcome.steps)
    smaller = shrink(found, layer).run
    assert run(smaller.case, layer).findings[0].bucket == found.findings[0].bucket


@long
@slow
def test_twenty_thousand_runs_that_are_cut_off_need_no_more_memory() -> None:
    case = evolve(SCENARIOS["fault-fault"].case("merged"), steps=60)
    rerun = Rerun(case, twin("merged"))
    sizes = []
    for _ in range(9):
        for _ in range(2_250):
            assert rerun.run().outcome.end is End.BOUND
        sizes.append(int(PAGES.read_text(encoding="ascii").split()[1]))
    # A leak grows all the time. The kernel may give one 2MB page at some time.
    growth = [after - before for before, after in pairwise(sizes)]
    assert median(growth) < 30, sizes  # pages of 4KB: less than 1MB in all


@pytest.mark.parametrize("by_file", [False, pytest.param(True, marks=slow)], ids=["class", "file"])
def test_hypothesis_draws_cases_for_a_layer_in_c(by_file: bool, tmp_path: Path) -> None:
    path = write(tmp_path, text_of(before="int count;", get="	count++;"), "racy.c")
    racy: AnyDesign = str(path) if by_file else class_in(path)

    @settings(max_examples=60, phases=[Phase.generate], database=None, deadline=None)
    @given(cases(racy))
    def has_no_race(case: Case) -> None:
        assert_clean(case)

    with pytest.raises(Broken, match="data-race") as told:
        has_no_race()
    assert "--design" in str(told.value)
    assert "racy.c:Racy" in str(told.value)


def test_a_machine_of_hypothesis_steers_a_layer_in_c() -> None:
    machine = concurrent_machine(twin("v6"))
    few = settings(max_examples=5, stateful_step_count=10, deadline=None, database=None)
    run_state_machine_as_test(machine, settings=few)


def test_a_fault_in_a_run_is_no_finding_and_the_next_run_goes_on(tmp_path: Path) -> None:
    text = text_of(get="	if (pfn == 0x100000)\n		ret = *(volatile int *)NULL;")
    layer = class_in(write(tmp_path, text))
    worlds = Worlds(layer)
    bad, good = SCENARIOS["map-map"].case("C"), SCENARIOS["map-zap"].case("C")
    good = evolve(good, setup=(), programs=((), ()))
    for _ in range(3):
        with pytest.raises(DesignError, match="NULL pointer"):
            worlds.run(bad)
        assert worlds.run(good).outcome.end is End.REST


def test_a_warning_without_a_text_never_has_that_of_a_run_before(tmp_path: Path) -> None:
    """A run that is ended where it prints leaves its text behind."""
    case = SCENARIOS["map-map"].case("C")
    prints = text_of(get='	for (;;)\n		pr_info("too late");')
    with pytest.raises(DesignError, match="an endless loop"):
        run(case, class_in(write(tmp_path, prints, "prints.c")))
    warns = class_in(write(tmp_path, text_of(get="	WARN_ON(pfn > 5);"), "warns.c"))
    finding = run(case, warns).finding
    assert finding is not None
    assert "pfn > 5" in finding.message


def test_a_run_is_still_there_after_another_one(tmp_path: Path) -> None:
    """A search asks for the state of a run when it has made another run in between."""
    text = text_of(before="int gets;", locked="	gets++;")
    one, two = (class_in(write(tmp_path, text, name)) for name in ("one.c", "two.c"))
    case = SCENARIOS["map-map"].case("C")
    session = Rerun(case, one).ready()
    session.run_programs()
    state = STATE(session.layer)
    Rerun(case, two).run()
    run(case, one)
    assert STATE(session.layer) == state


COUNTED = """struct counted { u32 before; atomic_t count; } __attribute__((aligned(8)));
static struct counted all[4096];
static struct counted many[2];
static const struct counted wrong = { 0, ATOMIC_INIT(77) };
static struct counted *of(u64 pfn) { return &all[pfn >> 9 & 4095]; }
static atomic_t *find(u64 pfn) { return &of(pfn)->count; }
"""

WRITTEN = {
    "the count": "of(pfn)->count.counter = 77;",
    "a struct": "*of(pfn) = wrong;",
    "memcpy": "memcpy(of(pfn), &wrong, sizeof(wrong));",
    "a wider word": "*(u64 *)of(pfn) = 77ull << 32;",
    "a wider word, atomically": "xchg((u64 *)of(pfn), 77ull << 32);",
    "two counts": "many[0] = many[1] = wrong; memcpy(of(pfn & ~512ul), many, sizeof(many));",
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_count_is_followed_however_it_is_written(how: str, tmp_path: Path) -> None:
    find = ("tdx_find_pamt_refcount(pfn)", "find(pfn)")
    text = text_of(
        before=COUNTED,
        put=f"	spin_lock(&dpamt_lock); {WRITTEN[how]} spin_unlock(&dpamt_lock); return;",
        replace=[find, find, (".refcount = tdx_find_pamt_refcount", ".refcount = find")],
    )
    ended = run(SCENARIOS["map-zap"].case("C"), class_in(write(tmp_path, text)))
    assert ended.finding is not None
    assert "is 77 at rest" in ended.finding.message
