"""Contention in virtual time: what it must agree with, and what it must not depend on."""

from __future__ import annotations

from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest
from attrs import evolve

from c_layers import LAYERS, needs_compiler
from commands import Invoke
from tdxfuzz.host.designs import DESIGNS
from tdxfuzz.survey.contention.bench import PAGES, STEPS, Bench
from tdxfuzz.survey.contention.chart import chart
from tdxfuzz.survey.contention.costs import Cost, CostsError, read_costs
from tdxfuzz.survey.contention.measure import ENOUGH, Point, measure
from tdxfuzz.survey.contention.workload import ALIKE, Load, Part, alike_of
from tiers import long, slow

COSTS = read_costs()
WHOLE = 81_920
"""2MB ranges of 10 TDs with 16GiB."""


def point(design: str, workload: str, cpus: int, ranges: int = 400, work: int = 30_000) -> Point:
    load = Load(workload, cpus, 10, 0.0, ranges)
    return measure(design, DESIGNS[design], load, WHOLE, COSTS, work=work)


@slow
@long
def test_the_run_it_was_fitted_to_comes_out_and_its_waiting_was_not_fitted() -> None:
    boot = point("v6", "boot", 40, ranges=1600, work=1_000_000)
    assert boot.seen >= ENOUGH
    assert boot.contentions == pytest.approx(1136, rel=0.3)
    assert boot.wait_ns == pytest.approx(4e6, rel=0.4)


def test_long_waits_come_from_cpus_that_begin_at_once_and_only_their_average_was_fitted() -> None:
    """Published: a get waited 4 us on average and 69 us at most, and took 10 and 83."""
    launch = point("v6", "launch", 16, ranges=1600, work=600_000)
    assert launch.get_wait_ns == pytest.approx(4_000, rel=0.1)
    assert launch.longest_wait_ns == pytest.approx(69_000, rel=0.25)
    assert launch.get_ns == pytest.approx(10_000, rel=0.15)
    assert launch.get_longest_ns == pytest.approx(83_000, rel=0.25)


def test_a_launch_counts_the_first_pages_of_ranges_and_is_not_cut_short() -> None:
    launch = point("v6", "launch", 16, ranges=200)
    assert launch.seen > 3 * ENOUGH
    assert launch.contentions == pytest.approx(launch.seen / 600 * WHOLE, rel=0.1)


def test_the_same_seed_makes_the_same_point() -> None:
    assert point("merged", "storm", 4) == point("merged", "storm", 4)


def test_steps_of_calls_are_those_of_the_model() -> None:
    bench = Bench(DESIGNS["v6"], 1, COSTS, 0, 8)
    counted: dict[int, int] = {}
    ask = bench.module.seamcall

    def count(lp, leaf, regs, version=0):  # type: ignore[no-untyped-def]
        before = bench.sim.clock
        status = ask(lp, leaf, regs, version)
        counted[leaf] = bench.sim.clock - before
        return status

    bench.module.seamcall = count  # type: ignore[method-assign]
    page = bench.guest_ranges[0] * PAGES
    assert bench.get(page) == 0
    bench.put(page)
    assert list(counted.values()) == [STEPS["add"], STEPS["remove"]]


def test_gets_are_put_together_only_where_they_take_no_lock() -> None:
    assert {alike_of(DESIGNS[name], COSTS) for name in ("v6", "global-rwlock")} == {ALIKE}
    assert {alike_of(DESIGNS[name], COSTS) for name in ("merged", "per-range-lock")} == {1}


@slow
@long
def test_a_lock_around_every_get_costs_more_with_more_cpus_and_ranges_of_their_own_less() -> None:
    few, many = point("merged", "boot", 4), point("merged", "boot", 64)
    assert few.waiting + few.lines < many.waiting + many.lines
    fast = point("v6", "boot", 64)
    assert fast.waiting < many.waiting / 10
    assert point("per-range-lock", "boot", 16).contentions == 0


def test_one_cpu_never_waits() -> None:
    alone = point("merged", "boot", 1, ranges=3)
    assert (alone.contentions, alone.wait_ns, alone.lines) == (0, 0, 0)
    mean = COSTS["fault"].ns
    assert alone.faults_per_second == pytest.approx(1e9 / mean, rel=0.2)


@slow
@long
def test_cpus_that_wait_for_a_lock_are_served_in_turn() -> None:
    """In a storm on one lock the time of an operation is that of all who hold it in turn."""
    storm = point("merged", "storm", 64, ranges=2_000)
    held = COSTS["add"].ns + COSTS["remove"].ns
    assert 0.5e9 / held < storm.faults_per_second < 1.1e9 / held
    assert storm.waiting > 0.8


def test_a_shutdown_removes_what_was_there() -> None:
    load = Load("shutdown", 4, 10, 0.0, 40)
    part = Part(DESIGNS["merged"], load, COSTS, 1, 64, ENOUGH, 100_000)
    assert part.bench.warnings == 0
    assert part.faults > 0


def test_samples_of_a_cost_have_its_mean_and_stay_in_its_bounds() -> None:
    rng = Random(1)
    drawn = [COSTS["add"].draw(rng) for _ in range(20_000)]
    assert min(drawn) >= COSTS["add"].least
    assert max(drawn) <= COSTS["add"].most
    assert sum(drawn) / len(drawn) == pytest.approx(COSTS["add"].ns, rel=0.03)
    assert Cost(5, "assumed", "").draw(rng) == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x", "not valid TOML"),
        ("[ad]\nns = 1", "unknown cost 'ad'"),
        ("[add]\nns = '1'", "ns must be a number"),
        ("[add]\nleast = 1", "ns is missing"),
        ("[add]\nns = 1\nmore = 2", "must be a table of ns"),
        ("[add]\nns = 1\nknown = 'x'", "known must be one of"),
    ],
)
def test_a_file_of_costs_that_cannot_be_used_is_refused(
    text: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(text)
    with pytest.raises(CostsError, match=told):
        read_costs(path)


def test_each_cost_says_where_it_comes_from() -> None:
    assert all(cost.source and cost.known for cost in COSTS.values())
    assert [name for name, cost in COSTS.items() if cost.known == "fitted"] == [
        "fault",
        "first_touch",
    ]


@slow
@long
def test_the_command_has_rows_json_and_a_chart(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[add]\nns = 400\nleast = 100\nmost = 900\n")
    arguments = ["contention", "merged", "--cpus", "2,3", "--workload", "storm"]
    told = invoke(*arguments, "--svg", "c.svg")
    assert told.code == 0
    assert told.out.count("merged ") == 2
    ElementTree.fromstring((tmp_path / "c.svg").read_text("utf-8"))
    document = invoke(*arguments, "--costs", "mine.toml", "--format", "json").json
    points = document["points"]
    assert isinstance(points, list)
    assert {"design", "cpus", "contentions", "wait_ns", "faults_per_second"} <= set(points[0])
    assert document["fitted"] == ["fault", "first_touch"]
    slower = point("merged", "storm", 3)
    assert points[1]["faults_per_second"] > slower.faults_per_second
    assert invoke("contention", "merged", "--cpus", "0").code == 2
    assert invoke("contention", "nobody").code == 2


def test_all_that_is_named_is_looked_at_before_the_first_measurement(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a measurement has begun")

    monkeypatch.setattr("tdxfuzz.cli.contention.measure", refuse)
    (tmp_path / "file").touch()
    for arguments in (("nosuch",), ("v6", "--svg", "file/c.svg"), ("v6", "--svg", tmp_path)):
        answer = invoke("contention", "merged", *arguments)
        assert (answer.code, answer.out) == (2, "")


def test_names_in_a_chart_are_escaped() -> None:
    drawn = chart([evolve(point("merged", "storm", 2, ranges=50), design="<i>&")])
    assert "<i>&" in list(ElementTree.fromstring(drawn).itertext())


@slow
@long
@needs_compiler
def test_a_layer_in_c_waits_as_its_python_twin_does(invoke: Invoke) -> None:
    arguments = ["--cpus", "4,16", "--workload", "storm", "--format", "json"]
    in_c = invoke("contention", LAYERS / "merged.c", *arguments)
    assert in_c.code == 0, in_c.err
    points = in_c.json["points"]
    assert isinstance(points, list)
    assert [point["cpus"] for point in points] == [4]
    twin = point("merged", "storm", 4, ranges=1_600, work=600_000)
    assert points[0]["faults_per_second"] == pytest.approx(twin.faults_per_second, rel=0.15)
    refused = invoke("contention", LAYERS / "merged.c", "--cpus", 2)
    assert (refused.code, "--workload storm" in refused.err) == (2, True)


@slow
@pytest.mark.parametrize("workload", ["boot", "storm"])
def test_cpus_never_wait_for_longer_than_a_part_is(workload: str) -> None:
    """With many CPUs at one lock nearly all of the time is waiting, and never more than all."""
    crowd = point("merged", workload, 256, work=60_000)
    assert 0.5 < crowd.waiting + crowd.lines <= 1


def test_a_get_that_adds_takes_as_long_as_the_call_and_what_is_around_it() -> None:
    alone = point("v6", "storm", 1, ranges=300)
    assert COSTS["add"].ns < alone.get_ns < 2 * COSTS["add"].ns
    assert COSTS["remove"].ns < alone.put_ns < 2 * COSTS["remove"].ns
    assert alone.get_longest_ns > alone.get_ns
    assert point("v6", "boot", 1, ranges=3).put_ns == 0
