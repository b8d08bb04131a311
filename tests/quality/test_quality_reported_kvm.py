"""Bugs of KVM's TDX paths that people reported, each seeded in a KVM that is built so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.case.world import World
from tdxfuzz.engines.hunt import hunt
from tdxfuzz.engines.plan import Budget, HuntPlan
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.kvm import Kvm
from tdxfuzz.host.kvm.under import under
from tdxfuzz.host.kvm.vm import Vm
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import slow


def ops(*texts: str) -> tuple[Op, ...]:
    return tuple(map(Op.parse, texts))


class TerminatesAsPosted(Kvm):
    """KVM_TDX_TERMINATE_VM as in the mail: the vCPUs' mutexes are dropped before the HKID goes, and
    what begins in the TD then looks at nothing.
    """

    def is_dead(self, vm: Vm) -> bool:
        return False

    def terminate_vm(self, vm: Vm) -> int:
        with vm.kvm_lock:
            with ExitStack() as locks:
                for vcpu in vm.vcpus:
                    locks.enter_context(vcpu.mutex)
                vm.terminated = True
            for vcpu in vm.vcpus:
                self.flush_vp_on_cpu(vcpu)
            self.release_hkid(vm)
        return 0


def test_a_fault_meets_an_hkid_that_terminate_vm_has_freed() -> None:
    """Review of 20250729193341.621487-6 by Adrian Hunter, 2025-08-01."""
    case = SCENARIOS["terminate-map"].case("Mutant")
    found = verify(case, under(Merged, TerminatesAsPosted), Bounds(1)).found
    assert found is not None
    bucket = found.findings[0].bucket
    assert bucket == "unexpected-status/TDH.MEM.PAGE.AUG/TD_KEYS_NOT_CONFIGURED/-"


@pytest.mark.parametrize("design", ["merged", "v6"])
def test_terminate_vm_under_all_locks_is_clean(design: str) -> None:
    assert verify(SCENARIOS["terminate-map"].case(design), None, Bounds(1)).verdict is Verdict.PASS


@slow
def test_a_hunt_draws_terminate_vm() -> None:
    name, design = "merged+TerminatesAsPosted", under(Merged, TerminatesAsPosted)
    found = hunt(HuntPlan(name, Budget(cases=6_000), design=design, seed=1)).found
    assert found is not None
    assert any(op.name == "terminate" for program in found.case.programs for op in program)


class TakesTheVcpusMutexAlone(Kvm):
    """INIT_VCPU and FINALIZE_VM as before v6.19: other vCPUs of the TD go on."""

    @contextmanager
    def state_locks(self, vm: Vm) -> Iterator[None]:
        with vm.kvm_lock, vm.vcpus[self.host.sim.current.id].mutex:
            yield


BUILDING = World(cpus=2, tds=1, slots=1)


@pytest.mark.parametrize(
    "programs", [(("vcpu 0",), ("map 0 0",)), (("map 0 0",), ("vcpu 0", "finalize 0"))]
)
def test_init_vcpu_meets_another_ioctl_unless_it_takes_all_locks(
    programs: tuple[tuple[str, ...], ...],
) -> None:
    """Reported by Yan Zhao (aLFiPq1smdzN3Ary@yzhao56-desk.sh.intel.com), mended in v6.19."""
    case = Case("merged", BUILDING, ops("create 0"), tuple(ops(*each) for each in programs))
    assert verify(case, under(Merged, Kvm)).found is None
    found = verify(case, under(Merged, TakesTheVcpusMutexAlone), Bounds(1)).found
    assert found is not None
    assert found.findings[0].bucket == "unexpected-status/TDH.VP.INIT/OPERAND_BUSY/-"
