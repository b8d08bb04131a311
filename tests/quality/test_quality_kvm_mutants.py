"""A KVM that leaves out a SEAMCALL, or whose kick does nothing, is found by a plain hunt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from tdxfuzz.abi import Registers, Status
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.case.world import World
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.designs.v6 import V6
from tdxfuzz.host.kvm import Kvm, seamcalls
from tdxfuzz.host.kvm.seamcalls import Answer, Make
from tdxfuzz.host.kvm.under import name_under, under
from tdxfuzz.host.kvm.vm import Vcpu, Vm
from tdxfuzz.run.session import run
from tdxfuzz.sim import Fault
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import SLOW_AND_LONG, only_quick

BUDGET = Budget(cases=4_000)

RUNNING = ("zap-run", "split-run", "kick-run", "convert-run", "reclaim-run", "create-run")


def skips(leaf: str) -> type[Kvm]:
    """KVM that takes a SEAMCALL for done without making it."""

    def skipped(self: Kvm, *args: object, **named: object) -> Answer:
        return Status(0), Registers()

    return type(f"No_{leaf}", (Kvm,), {leaf: skipped, "__module__": __name__})


class NoKick(Kvm):
    """The IPI is forgotten."""

    def kick_vcpus(self, vm: Vm) -> None:
        pass


class LetsVcpusBackIn(Kvm):
    """The wait flag is forgotten: a kicked vCPU may come back before the call is repeated."""

    @contextmanager
    def no_vcpus(self, vm: Vm) -> Iterator[None]:
        self.kick_vcpus(vm)
        yield


class BusyIsDone(Kvm):
    """A call that was BUSY is taken for done."""

    def do_no_vcpus(self, vm: Vm, make: Make) -> Answer:
        status, regs = make()
        return (Status(0), regs) if status.busy else (status, regs)


class RaisesFlagTooLate(Kvm):
    """The wait flag is set once the vCPUs are out, and one may be back by then."""

    @contextmanager
    def no_vcpus(self, vm: Vm) -> Iterator[None]:
        self.kick_vcpus(vm)
        vm.wait_for_sept_zap.write(True)
        yield
        vm.wait_for_sept_zap.write(False)


class KicksBeforeTrack(Kvm):
    """The kick of ``tdx_track`` comes first: a vCPU may be back before TRACK."""

    def block_and_track(self, vm: Vm, gpa: int, level: int) -> bool:
        status, _ = self.do_no_vcpus(vm, partial(self.range_block, vm, gpa, level))
        if self.bug_on(seamcalls.RANGE_BLOCK, status):
            return True
        self.kick_vcpus(vm)
        status, _ = self.do_no_vcpus(vm, partial(self.track, vm))
        return self.bug_on(seamcalls.TRACK, status)


class WritesBackWithWrongKey(Kvm):
    """PAGE.WBINVD under the host's key: what the caches have under the TD's stays there."""

    def page_wbinvd(self, vm: Vm, pfn: int) -> Answer:
        return self._wbinvd(pfn, 0)


class NeverLetsVcpusBackIn(Kvm):
    """The wait flag is set and stays so."""

    @contextmanager
    def no_vcpus(self, vm: Vm) -> Iterator[None]:
        vm.wait_for_sept_zap.write(True)
        self.kick_vcpus(vm)
        yield


class BusyBlockIsDone(Kvm):
    """BUSY is taken for done for RANGE.BLOCK alone."""

    def range_block(self, vm: Vm, gpa: int, level: int) -> Answer:
        status, regs = super().range_block(vm, gpa, level)
        return (Status(0), regs) if status.busy else (status, regs)


MUTANTS = [
    *map(
        skips,
        (
            "track",
            "range_block",
            "page_remove",
            "page_wbinvd",
            "page_wbinvd_tdr",
            "page_demote",
            "page_aug",
            "sept_add",
            "vp_flush",
            "mr_finalize",
            "vp_enter",
            "mng_vpflushdone",
            "cache_wb",
            "mng_key_freeid",
            "page_reclaim",
        ),
    ),
    NoKick,
    BusyIsDone,
    WritesBackWithWrongKey,
    NeverLetsVcpusBackIn,
    BusyBlockIsDone,
]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=SLOW_AND_LONG)])
@pytest.mark.parametrize(
    "mutant",
    only_quick([*MUTANTS[:4], NoKick], MUTANTS, SLOW_AND_LONG),
    ids=lambda mutant: mutant.__name__,
)
def test_a_hunt_finds_a_kvm_that_leaves_something_out(mutant: type[Kvm], seed: int) -> None:
    name = name_under("merged", mutant)
    found = hunt(HuntPlan(name, BUDGET, design=under(Merged, mutant), seed=seed)).found
    assert found is not None


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
        (LetsVcpusBackIn, "TDH.MEM.RANGE.BLOCK/OPERAND_BUSY"),
        (RaisesFlagTooLate, "TDH.MEM.RANGE.BLOCK/OPERAND_BUSY"),
        (KicksBeforeTrack, "TDH.MEM.PAGE.REMOVE/TLB_TRACKING_NOT_DONE"),
    ],
)
def test_a_kicked_vcpu_that_may_come_back_too_early_is_found(
    mutant: type[Kvm], expected: str
) -> None:
    """Two CPUs must switch at just the right steps, which a hunt seldom does."""
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
        shown = run(case, under(Merged, BusyIsDone)).findings
        return shown[0].bucket if shown else "nothing"

    assert bucket() == "nothing"
    not_blocked = "unexpected-status/TDH.MEM.PAGE.DEMOTE/GPA_RANGE_NOT_BLOCKED/-"
    assert bucket("vcpu 0", "finalize 0") == not_blocked
    assert bucket("vcpu 0", "TDH.MR.FINALIZE rcx=B128") == not_blocked


class ForgetsTopup(Kvm):
    """The caches are not filled before the MMU lock."""

    def topup(self, vcpu: Vcpu) -> int:
        return 0


def test_a_cache_that_was_not_topped_up_is_a_finding_and_no_crash() -> None:
    world = World(cpus=1, tds=1, slots=1)
    case = Case("Mutant", world, (Op.parse("create 0"),), ((Op.parse("map 0 0"),),))
    shown = run(case, under(Merged, ForgetsTopup)).findings
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
