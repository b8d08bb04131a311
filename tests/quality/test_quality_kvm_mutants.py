"""A KVM that leaves out a SEAMCALL, or whose kick does nothing, is found by a plain hunt."""

from __future__ import annotations

import pytest

import kvm_mutants as mutants
from kvm_mutants import SEAMCALLS, skips, takes_busy_for_done
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.case.world import World
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.designs.v6 import V6
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.under import name_under, under
from tdxfuzz.run.session import run
from tdxfuzz.sim import Fault
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import SLOW_AND_LONG, only_quick

BUDGET = Budget(cases=6_000)
"""What a hunt of one worker does in 30 seconds, about."""

RUNNING = ("zap-run", "split-run", "kick-run", "convert-run", "reclaim-run", "create-run")

CAN_BE_BUSY = ("range_block", "track", "sept_add", "page_aug", "vp_enter")
"""BUSY of the others is never seen, or would be a finding of the unchanged KVM; but a guest may be
in the way of REMOVE (below), and seldom in that of DEMOTE and UNBLOCK."""

SKIPPED = [name for name in SEAMCALLS if name != "range_unblock"]

AT_THE_RIGHT_STEPS = [
    mutants.takes_busy_for_done("page_remove"),
    mutants.IgnoresFlag,
    mutants.LetsVcpusBackIn,
]
"""Two preemptions at the right steps: a hunt may miss them, one of the scenario does not."""

SELDOM = {
    *AT_THE_RIGHT_STEPS,
    mutants.RaisesFlagTooLate,  # as LetsVcpusBackIn
    mutants.ClearsFlagTooEarly,  # three preemptions
    mutants.LooksAtFlagTooEarly,  # three at least
    mutants.KicksTheFirstCpuOnly,  # guests are mostly on CPU 0
}

MUTANTS = [
    *map(skips, SKIPPED),
    *map(takes_busy_for_done, CAN_BE_BUSY),
    *(mutant for mutant in mutants.PATHS if mutant not in SELDOM),
]

QUICK = {"No_track", "No_range_block", "No_page_remove", "No_page_wbinvd", "NoKick"}


@pytest.mark.parametrize(
    "mutant",
    only_quick([each for each in MUTANTS if each.__name__ in QUICK], MUTANTS, SLOW_AND_LONG),
    ids=lambda mutant: mutant.__name__,
)
def test_a_hunt_finds_a_kvm_that_is_wrong_in_one_place(mutant: type[Kvm]) -> None:
    name = name_under("merged", mutant)
    found = hunt(HuntPlan(name, BUDGET, design=under(Merged, mutant), seed=1)).found
    assert found is not None


@pytest.mark.parametrize(
    "mutant", only_quick(AT_THE_RIGHT_STEPS[1:2], AT_THE_RIGHT_STEPS), ids=lambda m: m.__name__
)
def test_a_hunt_of_the_scenario_finds_what_takes_two_preemptions(mutant: type[Kvm]) -> None:
    """Before a second preemption was tried at once behind a kick, 3,000 cases did not find one."""
    plan = HuntPlan(
        name_under("merged", mutant),
        Budget(cases=1_000),
        design=under(Merged, mutant),
        scenario=SCENARIOS["zap-run"],
        seed=1,
    )
    assert hunt(plan).found is not None


@pytest.mark.parametrize("name", RUNNING)
@pytest.mark.parametrize("design", ["merged", "v6"])
def test_unchanged_paths_are_clean_with_running_vcpus(design: str, name: str) -> None:
    result = verify(SCENARIOS[name].case(design), None, Bounds(1))
    assert result.verdict is Verdict.PASS, result.why


@pytest.mark.parametrize("name", only_quick(["convert-run", "create-run"], RUNNING))
@pytest.mark.parametrize("design", ["merged", "v6"])
def test_they_are_clean_within_the_bound_of_each_scenario(design: str, name: str) -> None:
    scenario = SCENARIOS[name]
    result = verify(scenario.case(design), None, Bounds(scenario.preemptions))
    assert result.verdict is Verdict.PASS, result.why
    assert result.ends is True


@pytest.mark.parametrize(
    ("mutant", "expected"),
    [
        pytest.param(
            mutants.IgnoresFlag, "TDH.MEM.TRACK/OPERAND_BUSY", marks=SLOW_AND_LONG
        ),  # guests that go round until a time is over make runs of 20,000 steps
        (mutants.LetsVcpusBackIn, "TDH.MEM.RANGE.BLOCK/OPERAND_BUSY"),
        (mutants.RaisesFlagTooLate, "TDH.MEM.RANGE.BLOCK/OPERAND_BUSY"),
        (mutants.KicksBeforeTrack, "TDH.MEM.PAGE.REMOVE/TLB_TRACKING_NOT_DONE"),
    ],
)
def test_a_kicked_vcpu_that_may_come_back_too_early_is_found(
    mutant: type[Kvm], expected: str
) -> None:
    """Two CPUs must switch at just the right steps."""
    result = verify(SCENARIOS["zap-run"].case("Mutant"), under(Merged, mutant), Bounds(2))
    assert result.found is not None
    assert result.found.findings[0].bucket == f"unexpected-status/{expected}/-"


@pytest.mark.parametrize("layer", [Merged, V6])
def test_track_is_missed_in_a_scenario_with_a_running_vcpu(layer: type[RefcountLayer]) -> None:
    case = SCENARIOS["zap-run"].case("Mutant")
    found = verify(case, under(layer, skips("track")), Bounds(1)).found
    assert found is not None
    assert found.findings[0].bucket.endswith("TLB_TRACKING_NOT_DONE/-")


def test_a_split_goes_on_after_a_block_that_was_busy_only_in_a_td_that_is_finalised() -> None:
    """A design under a KVM that takes BUSY for done, and BLOCK refused once."""
    world = World(cpus=1, tds=1, slots=1, areas=1, entries=4)

    def bucket(*finalised: str) -> str:
        setup = tuple(map(Op.parse, ("create 0", *finalised, "map2m 0 0")))
        programs = ((Op.parse("accept4k 0 0"),),)
        case = Case("Mutant", world, setup, programs, faults=(Fault("refuse", 0),))
        shown = run(case, under(Merged, mutants.BusyIsDone)).findings
        return shown[0].bucket if shown else "nothing"

    assert bucket() == "nothing"
    not_blocked = "unexpected-status/TDH.MEM.PAGE.DEMOTE/GPA_RANGE_NOT_BLOCKED/-"
    assert bucket("vcpu 0", "finalize 0") == not_blocked
    assert bucket("vcpu 0", "TDH.MR.FINALIZE rcx=B128") == not_blocked


def test_a_cache_that_was_not_topped_up_is_a_finding_and_no_crash() -> None:
    world = World(cpus=1, tds=1, slots=1)
    case = Case("Mutant", world, (Op.parse("create 0"),), ((Op.parse("map 0 0"),),))
    shown = run(case, under(Merged, mutants.ForgetsTopup)).findings
    assert [each.bucket for each in shown] == ["cache-underflow/-/-/S-EPT page"]


def test_a_range_that_stays_blocked_is_found_where_a_merge_does_not_take_place() -> None:
    """The guest has accepted one 4KB page of four, so PROMOTE refuses; hunts seldom get there."""
    world = World(cpus=1, tds=1, slots=1, areas=1, entries=4)
    setup = tuple(map(Op.parse, ("create 0", "vcpu 0", "finalize 0", "map2m 0 0")))
    program = tuple(map(Op.parse, ("enter 0 0 accept4k:a0", "promote 0 0", "zap2m 0 0")))
    case = Case("Mutant", world, setup, (program,))
    assert run(case, under(Merged, Kvm)).findings == ()
    shown = run(case, under(Merged, skips("range_unblock"))).findings
    assert shown[0].bucket == "unexpected-status/TDH.MEM.RANGE.BLOCK/EPT_WALK_FAILED/-"
