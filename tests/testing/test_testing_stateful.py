"""The concurrent machine: sound designs are clean, and every run is a case."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tdxfuzz.abi import Registers, Status
from tdxfuzz.case.operation import AREA_OPERATIONS, HOST_OPERATIONS, OPERATIONS, Op
from tdxfuzz.case.world import World
from tdxfuzz.generate.hostile_calls import fitting_calls
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.vm import Vm
from tdxfuzz.module.pamt import Pamt
from tdxfuzz.run.session import run
from tdxfuzz.run.steered import LiveRun
from tdxfuzz.sim import End, HarnessError
from tdxfuzz.stateful import SeamcallMachine, concurrent_machine
from tdxfuzz.testing import stateful, strategies
from tdxfuzz.testing.assertions import Broken
from tiers import slow

TestSeamcalls = slow(SeamcallMachine.TestCase)
TestMerged = slow(concurrent_machine("merged").TestCase)
TestV6OnThreeCpus = slow(concurrent_machine("v6", cpus=3).TestCase)

WORLD = World(cpus=2, tds=2, slots=1)
CREATED = (Op("create", (0,)), Op("create", (1,)), Op("map", (0, 0)))


def steered(seed: int, design: str, cpus: int) -> LiveRun:
    rng = Random(seed)
    live = LiveRun(design, World(cpus=cpus, tds=2, slots=2), (Op("create", (0,)),))
    for _ in range(rng.randrange(1, 12)):
        idle, under_way = live.idle(), live.under_way()
        steps = rng.choice((None, 0, 1, 7, 40))
        if idle and (not under_way or rng.random() < 0.5):
            name = rng.choice([name for name in OPERATIONS if name not in AREA_OPERATIONS])
            args = tuple(rng.randrange(2) for _ in OPERATIONS[name])
            live.start(rng.choice(idle), Op(name, args), steps)
        elif under_way:
            live.go_on(rng.choice(under_way), steps)
    return live


@pytest.mark.parametrize("design", ["hint", "v6", "merged"])
@pytest.mark.parametrize("cpus", [1, 2, 3])
def test_a_steered_run_and_its_case_do_the_same(design: str, cpus: int) -> None:
    for number in range(30):
        case, live = steered(number, design, cpus).finish()
        again = run(case)
        assert again.outcome.end is live.outcome.end is End.REST
        assert (again.outcome.steps, again.calls) == (live.outcome.steps, live.calls)
        assert again.findings == live.findings


def test_cpus_are_idle_under_way_or_waiting() -> None:
    live = LiveRun("merged", WORLD, CREATED)
    assert (live.idle(), live.under_way()) == ([0, 1], [])
    live.start(0, Op("map", (1, 0)), steps=1)
    assert (live.idle(), live.under_way()) == ([1], [0])
    live.start(1, Op("destroy", (1,)))
    assert live.idle() == [1], "the map keeps the TD, so destroying it need not wait"
    live.go_on(0)
    assert (live.idle(), live.under_way(), live.operations) == ([0, 1], [], 2)
    live.finish()


def test_who_waits_for_a_lock_cannot_go_on() -> None:
    live = LiveRun("merged", WORLD, CREATED[:2])
    live.start(0, Op("zap", (0, 0)), steps=3)
    live.start(1, Op("map", (0, 0)))
    assert (live.idle(), live.under_way()) == ([], [0])
    case, _ = live.finish()
    assert run(case).waits == 1


def test_the_race_can_be_steered_into() -> None:
    live = LiveRun("hint", WORLD, CREATED)
    live.start(0, Op("map", (1, 0)), steps=131)
    live.start(1, Op("zap", (0, 0)))
    live.go_on(0)
    assert live.findings[0].check == "pamt-in-use"
    case, _ = live.finish()
    assert run(case).finding == live.findings[0]


class Raises(Merged):
    def put(self, pfn: int, hint: bool = False) -> None:
        raise LookupError("oh")


def test_a_design_that_raises_is_reported_where_it_was_steered() -> None:
    layer: type[RefcountLayer] = Raises
    live = LiveRun("Raises", WORLD, CREATED, layer)
    with pytest.raises(HarnessError, match="Raises raised LookupError: oh"):
        live.start(0, Op("zap", (0, 0)))


@slow
def test_the_concurrent_machine_draws_every_host_operation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: set[str] = set()
    start = LiveRun.start

    def noted(live: LiveRun, cpu: int, op: Op, steps: int | None = None) -> None:
        started.add(op.name)
        start(live, cpu, op, steps)

    monkeypatch.setattr(LiveRun, "start", noted)
    monkeypatch.setattr(stateful, "assert_clean", lambda *arguments: None)
    run_state_machine_as_test(
        seed(3)(concurrent_machine("merged")), settings=settings(max_examples=60, database=None)
    )
    beforehand = {"vcpu", "finalize", "convert"}
    assert started >= set(HOST_OPERATIONS) - beforehand


class NoTrack(Kvm):
    """Pages are zapped without TDH.MEM.TRACK, which only a TD that runs can notice."""

    def track(self, vm: Vm) -> tuple[Status, Registers]:
        return Status(0), Registers()


@slow
def test_the_concurrent_machine_finds_what_only_a_running_td_shows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TDXFUZZ_OUT", str(tmp_path))
    with pytest.raises(Broken, match="TLB_TRACKING_NOT_DONE"):
        run_state_machine_as_test(
            concurrent_machine("merged", kvm=NoTrack),
            settings=settings(settings.get_profile("ci"), phases=[Phase.generate]),
        )


@slow
def test_the_seamcall_machine_notices_tables_that_disagree(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a module that forgets to count a page down, some sequence of calls shows it."""
    monkeypatch.setenv("TDXFUZZ_OUT", str(tmp_path))
    monkeypatch.setattr(Pamt, "count_down", lambda self, node: False)
    # What succeeds under a broken module is not to be remembered for other tests.
    monkeypatch.setattr(strategies, "fitting_calls", fitting_calls.__wrapped__)
    with pytest.raises(AssertionError, match="counts"):
        run_state_machine_as_test(
            seed(1)(SeamcallMachine),
            settings=settings(
                max_examples=300,
                phases=[Phase.generate],
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    (reproducer,) = tmp_path.iterdir()
    assert reproducer.name.startswith("hostile-module-state")
