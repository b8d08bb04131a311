"""TDs that run: what a guest does, what it leaves for, and how it is kicked."""

from __future__ import annotations

import pytest

from tdxfuzz.abi import BY_NAME, Registers, Status
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host import operations
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.host import Host
from tdxfuzz.host.kernel.errno import EINVAL
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.under import under
from tdxfuzz.module.sept_entry import state_of
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, Session, run
from tdxfuzz.sim import Schedule

RUNS = ("create 0", "vcpu 0", "finalize 0")


def ops(*texts: str) -> tuple[Op, ...]:
    return tuple(map(Op.parse, texts))


def host_of(cpus: int = 1, areas: int = 0) -> Host:
    world = World(cpus=cpus, tds=1, slots=2, areas=areas, entries=4 if areas else 512)
    return Session(Case("merged", world, programs=((),) * cpus)).host


def do(host: Host, *texts: str) -> list[int]:
    return [operations.run(host, Op.parse(text)) for text in texts]


def state_at(host: Host, gpa: int, level: int) -> SeptState:
    sept = host.module.tdr_at(host.vms[0].tdr).tdcs.sept
    assert sept is not None
    return state_of(sept.walk(gpa, level)[1])


def beside(setup: tuple[str, ...], guest: str, host_op: str, design: Design = None) -> list[Run]:
    """CPU 0 enters vCPU 0; CPU 1 works on the same TD: a preemption at each step of CPU 0."""
    world = World(cpus=2, tds=1, slots=2)
    programs = (ops(f"enter 0 0 {guest}"), ops(host_op))
    case = Case("merged", world, ops(*setup), programs)
    steps = run(case, design).outcome.steps
    return [
        run(case.with_schedule(Schedule.of([(step, 1)])), design) for step in range(1, steps, 2)
    ]


def test_a_guest_faults_its_pages_in_and_accepts_them() -> None:
    host = host_of()
    assert do(host, *RUNS, "enter 0 0 accept:0,touch:0,read:0,hlt") == [0] * 4
    assert state_at(host, host.layout.gpa(0), 0) is SeptState.MAPPED
    assert host.vms[0].vcpus[0].at == 4
    assert do(host, "destroy 0") == [0]
    assert not host.pages.allocated


def test_a_guest_accepts_2mb_as_a_whole_or_has_it_split() -> None:
    host = host_of(areas=1)
    gpa = host.layout.area_gpa(0)
    assert do(host, *RUNS, "enter 0 0 accept:a0") == [0] * 4
    assert state_at(host, gpa, 1) is SeptState.MAPPED
    host = host_of(areas=1)
    assert do(host, *RUNS, "map2m 0 0", "enter 0 0 accept4k:a0") == [0] * 5
    assert state_at(host, gpa, 0) is SeptState.MAPPED
    assert 0 in host.vms[0].small_areas


def test_a_page_that_a_guest_converts_is_shared_and_comes_back_when_it_is_touched() -> None:
    host = host_of()
    assert do(host, *RUNS, "enter 0 0 accept:0,convert:0") == [0] * 4
    assert host.vms[0].shared_slots == {0}
    assert do(host, "enter 0 0 accept:0") == [0]
    assert host.vms[0].shared_slots == set()
    assert state_at(host, host.layout.gpa(0), 0) is SeptState.MAPPED


def test_what_cannot_run_is_refused() -> None:
    host = host_of()
    assert do(host, "create 0", "finalize 0", "enter 0 0 idle") == [0, -EINVAL, -EINVAL]
    assert do(host, "vcpu 0", "enter 0 0 hlt", "finalize 0") == [0, -EINVAL, 0]
    assert do(host, "finalize 0", "vcpu 0", "enter 0 0 hlt") == [-EINVAL, -EINVAL, 0]


def test_a_vcpu_goes_to_another_cpu_by_a_flush_on_the_one_before() -> None:
    world = World(cpus=2, tds=1)
    entries = ops("enter 0 0 touch:0"), ops("enter 0 0 touch:0", "migrate 0 0 0")
    ran = run(Case("merged", world, ops(*RUNS), entries))
    assert ran.finding is None
    flushes = sum(n for (leaf, _), n in ran.calls.items() if leaf == BY_NAME["TDH.VP.FLUSH"].number)
    assert flushes == 2


def test_a_kick_makes_a_vcpu_leave_wherever_it_is() -> None:
    runs = beside((*RUNS, "map 0 0"), "accept:0,touch:0,hlt", "zap 0 0")
    assert [each.findings for each in runs if each.findings] == []
    assert all(each.cut_off is None for each in runs)


class NoKick(Kvm):
    def kick_vcpus(self, vm: object) -> None:
        pass


class NoTrack(Kvm):
    def track(self, vm: object) -> tuple[Status, Registers]:
        return Status(0), Registers()


NOT_TRACKED = "unexpected-status/TDH.MEM.PAGE.REMOVE/TLB_TRACKING_NOT_DONE/-"


@pytest.mark.parametrize("mutant", [NoKick, NoTrack])
def test_without_kick_or_track_a_vcpu_keeps_its_old_translations(mutant: type[Kvm]) -> None:
    runs = beside((*RUNS, "map 0 0"), "touch:0,hlt", "zap 0 0", under(Merged, mutant))
    assert NOT_TRACKED in {each.findings[0].bucket for each in runs if each.findings}


def test_a_raw_vp_enter_is_kicked_as_well() -> None:
    """The case of a report: a vCPU entered by hand beside a zap by KVM's paths."""
    setup = ops("create 0", "vcpu 0", "TDH.MR.FINALIZE rcx=B128", "map 0 0")
    programs = ops("TDH.VP.ENTER rcx=B134"), ops("zap 0 0")
    case = Case("merged", World(cpus=2, tds=1, slots=2), setup, programs)
    for step in range(1, 40):
        assert run(case.with_schedule(Schedule.of([(step, 1)]))).findings == ()


def test_a_busy_guest_is_out_and_stays_out_while_the_host_has_priority() -> None:
    """BLOCK meets the guest in ACCEPT: it is BUSY, kicks, and succeeds with nobody inside."""
    runs = beside((*RUNS, "map 0 0"), "accept:0,accept:0,accept:0", "zap 0 0")
    block = BY_NAME["TDH.MEM.RANGE.BLOCK"].number
    busy = [each for each in runs if any(leaf == block and code for leaf, code in each.calls)]
    assert busy
    assert all(each.finding is None for each in busy)
