"""Host operations: what one line of a program does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tdxfuzz.abi import BY_NAME
from tdxfuzz.host.kernel.errno import EBUSY, EEXIST, ENOENT, errno_name
from tdxfuzz.host.kvm import control, mmu, vcpu
from tdxfuzz.host.kvm.vm import Vm, VmState
from tdxfuzz.host.op import OPERATIONS, Op

if TYPE_CHECKING:
    from tdxfuzz.abi import Status
    from tdxfuzz.host.host import Host


def run(host: Host, op: Op) -> int:
    """Perform one operation on the current CPU; 0 or a negative errno."""
    sim = host.sim
    trace = sim.trace
    if trace is not None and sim.running:
        trace.add(sim.clock, sim.current.id, "op", str(op))
    if sim.local is not None:
        sim.local.begin_operation(sim.current.id)
    host.operations_in_flight += 1
    result = 0
    if op.is_seamcall:
        seamcall(host, op)
    else:
        result = _TABLE[op.name](host, *op.args)
    host.operations_in_flight -= 1
    sim.rounds.clear()
    if trace is not None and sim.running:
        trace.add(max(sim.clock - 1, 0), sim.current.id, "op-end", str(op), errno_name(result))
    return result


def seamcall(host: Host, op: Op) -> Status:
    """A SEAMCALL with no host layer around it: what it answers is for nobody to handle."""
    registers = dict(op.arguments)
    version = registers.pop("version", 0)
    status, _ = host.seamcall(BY_NAME[op.name].number, version, **registers)
    return status


def create(host: Host, td: int) -> int:
    """Make a VM a TD (``KVM_TDX_INIT_VM``)."""
    vm = host.vms[td]
    with vm.kvm_lock:
        if vm.state.read() is not VmState.EMPTY:
            return -EEXIST
        result = control.td_init(host, vm)
        if result == 0:
            vm.users.set(1)
        return result


def destroy(host: Host, td: int) -> int:
    """Close the VM: the TD goes once the last operation on it has ended."""
    vm = host.vms[td]
    with vm.kvm_lock:
        if vm.state.read() is not VmState.INITIALIZED:
            return -ENOENT
        vm.state.write(VmState.DYING)
    put_vm(host, vm)
    return 0


def destroy_vm(host: Host, vm: Vm) -> None:
    """Teardown in KVM's order: guest pages, HKID, vCPUs, S-EPT pages, control pages, caches."""
    mmu.zap_all(host, vm)
    for each in vm.vcpus:
        vcpu.flush_on_cpu(host, each)
    control.release_hkid(host, vm)
    if not vm.hkid:
        for each in vm.vcpus:
            vcpu.vcpu_free(host, each)
        mmu.free_sept_pages(host, vm)
    control.reclaim_control_pages(host, vm)
    for each in vm.vcpus:
        each.pamt_cache.drain()
        each.pamt_cache.has_head = not host.layer.cache_made_by_vcpu_init
        each.sept_cache.drain()
    vm.sptes.clear()
    vm.shared_slots.clear()
    vm.state.write(VmState.EMPTY)


def map_slot(host: Host, td: int, slot: int) -> int:
    """A guest touches a page: fault until it is mapped, or cannot be."""
    vm = host.vms[td]
    if not vm.users.inc_not_zero():
        return -ENOENT
    this = vm.vcpus[host.sim.current.id]
    with this.mutex:
        result = mmu.fault(host, vm, this, slot)
        while result == -EBUSY:
            host.cpu_relax()
            result = mmu.fault(host, vm, this, slot)
    put_vm(host, vm)
    return result


def zap_slot(host: Host, td: int, slot: int) -> int:
    """Zap a guest page, if it is mapped."""

    def zap(vm: Vm) -> int:
        with vm.slots_lock:
            return mmu.zap(host, vm, slot)

    return _on_vm(host, td, zap)


def convert_slot(host: Host, td: int, slot: int) -> int:
    """Make a guest page shared, or private again."""

    def convert(vm: Vm) -> int:
        with vm.slots_lock:
            return mmu.convert(host, vm, slot)

    return _on_vm(host, td, convert)


def add_vcpu(host: Host, td: int) -> int:
    """Make this CPU's vCPU one of the TD (``KVM_TDX_INIT_VCPU``)."""

    def init(vm: Vm) -> int:
        with vm.state_locks():
            return vcpu.vcpu_init(host, vm, vm.vcpus[host.sim.current.id])

    return _on_vm(host, td, init)


def _on_vm(host: Host, td: int, operation: Callable[[Vm], int]) -> int:
    """An operation on a VM that stays alive meanwhile."""
    vm = host.vms[td]
    if not vm.users.inc_not_zero():
        return -ENOENT
    result = operation(vm)
    put_vm(host, vm)
    return result


def put_vm(host: Host, vm: Vm) -> None:
    """``kvm_put_kvm`` of an operation."""
    if vm.users.dec_and_test():
        destroy_vm(host, vm)


_TABLE: dict[str, Callable[..., int]] = {
    "create": create,
    "destroy": destroy,
    "map": map_slot,
    "zap": zap_slot,
    "convert": convert_slot,
    "vcpu": add_vcpu,
}

assert set(_TABLE) == set(OPERATIONS)
