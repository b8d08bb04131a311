"""Host operations: what one line of a program does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tdxfuzz.abi import BY_NAME, Status
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.operation import HOST_OPERATIONS, Op
from tdxfuzz.host.kernel.errno import EFAULT, ENOENT, errno_name
from tdxfuzz.host.kvm.vm import Vcpu, Vm

if TYPE_CHECKING:
    from tdxfuzz.host.host import Host


def run(host: Host, op: Op) -> int:
    """Perform one operation on the current CPU.

    Returns:
        0 or a negative errno; of a SEAMCALL the status.
    """
    sim = host.sim
    traced = sim.trace is not None
    if traced:
        sim.record(sim.clock, "op", str(op))
    if sim.local is not None:
        sim.local.begin_operation(sim.current.id)
    host.watch.op_began(op)
    result = seamcall(host, op) if op.is_seamcall else _TABLE[op.name](host, *op.args)
    if not sim.running:
        host.workqueue.run_in_setup()
    host.watch.op_ended(op)
    sim.rounds.clear()
    if traced:
        sim.record(max(sim.clock - 1, 0), "op-end", str(op), _errno_name(result))
    return result


def failure(result: int) -> str:
    """What kept an operation from success, by the name of an errno or a status; or nothing.

    Args:
        result: what :func:`run` returned.
    """
    if isinstance(result, Status):
        return str(result) if result.is_error else ""
    return _errno_name(result) if result else ""


def _errno_name(result: int) -> str:
    """That of an operation of KVM's. A SEAMCALL's status is for nobody to handle: no errno."""
    return errno_name(0 if isinstance(result, Status) else result)


def seamcall(host: Host, op: Op) -> Status:
    """A SEAMCALL with no host layer around it: what it answers is for nobody to handle."""
    registers = dict(op.arguments)
    version = registers.pop("version", 0)
    mode = host.guests[host.sim.current.on]
    enters = op.name == "TDH.VP.ENTER" and host.case.design != HOSTILE
    if enters:
        mode.enter(registers["rcx"])
    status, _ = host.seamcall(BY_NAME[op.name].number, version, **registers)
    if enters:
        mode.leave()
    return status


def create(host: Host, td: int) -> int:
    """Make a VM a TD (``KVM_TDX_INIT_VM``)."""
    return host.kvm.create(host.vms[td])


def destroy(host: Host, td: int) -> int:
    """Close the VM: the TD goes once the last operation on it has ended."""
    return host.kvm.destroy(host.vms[td])


def map_slot(host: Host, td: int, slot: int) -> int:
    """A guest touches a page: fault until it is mapped, or cannot be."""
    result = _in_guest(host, td, lambda vm, this: host.kvm.fault(vm, this, slot))
    return 0 if result == -EFAULT else result


def zap_slot(host: Host, td: int, slot: int) -> int:
    """Zap a guest page, if it is mapped."""

    def zap(vm: Vm) -> int:
        with vm.slots_lock:
            return host.kvm.zap(vm, slot)

    return _on_vm(host, td, zap)


def convert_slot(host: Host, td: int, slot: int) -> int:
    """Make a guest page shared, or private again."""

    def convert(vm: Vm) -> int:
        with vm.slots_lock:
            return host.kvm.convert(vm, slot)

    return _on_vm(host, td, convert)


def add_vcpu(host: Host, td: int) -> int:
    """Make this CPU's vCPU one of the TD (``KVM_TDX_INIT_VCPU``)."""

    def init(vm: Vm) -> int:
        with host.kvm.state_locks(vm):
            return host.kvm.vcpu_init(vm, vm.vcpus[host.sim.current.id])

    return _on_vm(host, td, init)


def map_area(host: Host, td: int, area: int) -> int:
    """A guest touches a 2MB area: fault until it is mapped, at 2MB where that can be."""
    return _in_guest(host, td, lambda vm, this: host.kvm.fault_area(vm, this, area))


def accept_area(host: Host, td: int, area: int) -> int:
    """A guest accepts a 2MB area page by page: it is split if need be, or mapped at 4KB."""

    def accept(vm: Vm, this: Vcpu) -> int:
        return host.kvm.accept_small(vm, this, area) or host.kvm.fault_area(vm, this, area)

    return _in_guest(host, td, accept)


def zap_area(host: Host, td: int, area: int) -> int:
    """The memslot of a 2MB area is deleted, and comes back empty."""

    def zap(vm: Vm) -> int:
        with vm.slots_lock:
            return host.kvm.zap_area(vm, area)

    return _on_vm(host, td, zap)


def promote_area(host: Host, td: int, area: int) -> int:
    """The 4KB pages of an area become a 2MB page again."""

    def promote(vm: Vm) -> int:
        with vm.slots_lock:
            return host.kvm.promote_area(vm, area)

    return _on_vm(host, td, promote)


def finalize(host: Host, td: int) -> int:
    """Close a TD's measurement, so that it may run (``KVM_TDX_FINALIZE_VM``)."""

    def close(vm: Vm) -> int:
        with host.kvm.state_locks(vm):
            return host.kvm.td_finalize(vm)

    return _on_vm(host, td, close)


def terminate(host: Host, td: int) -> int:
    """Give a TD's HKID back before its pages (``KVM_TDX_TERMINATE_VM``)."""
    return _on_vm(host, td, host.kvm.terminate_vm)


def enter(host: Host, td: int, number: int, script: int) -> int:
    """Run a vCPU on this CPU until its guest has done what a script says."""
    return _on_vm(host, td, lambda vm: host.kvm.run_script(vm, vm.vcpus[number], script))


def migrate(host: Host, td: int, number: int, cpu: int) -> int:
    """The thread of a vCPU goes to a CPU."""

    def move(vm: Vm) -> int:
        this = vm.vcpus[number]
        with this.mutex:
            host.kvm.vcpu_load(this, cpu)
        return 0

    return _on_vm(host, td, move)


def _in_guest(host: Host, td: int, exit_handler: Callable[[Vm, Vcpu], int]) -> int:
    """What this CPU's vCPU of a VM exits for, until it is not -EBUSY any more."""
    vm = host.vms[td]
    if not vm.users.inc_not_zero():
        return -ENOENT
    this = vm.vcpus[host.sim.current.id]
    with this.mutex:
        result = host.kvm.until_not_busy(lambda: exit_handler(vm, this))
    host.kvm.put_vm(vm)
    return result


def _on_vm(host: Host, td: int, operation: Callable[[Vm], int]) -> int:
    """An operation on a VM that stays alive meanwhile."""
    vm = host.vms[td]
    if not vm.users.inc_not_zero():
        return -ENOENT
    result = operation(vm)
    host.kvm.put_vm(vm)
    return result


_TABLE: dict[str, Callable[..., int]] = {
    "create": create,
    "destroy": destroy,
    "map": map_slot,
    "zap": zap_slot,
    "convert": convert_slot,
    "vcpu": add_vcpu,
    "map2m": map_area,
    "accept4k": accept_area,
    "zap2m": zap_area,
    "promote": promote_area,
    "finalize": finalize,
    "enter": enter,
    "migrate": migrate,
    "terminate": terminate,
}

assert set(_TABLE) == set(HOST_OPERATIONS)


def body(host: Host, program: tuple[Op, ...]) -> Callable[[], None]:
    """What a CPU does in a run: the operations of its program, one after the other."""

    def perform() -> None:
        for op in program:
            run(host, op)

    return perform
