"""KVM's paths as one class, which a user may derive from to change them.

::

    from tdxfuzz.abi import Registers, Status
    from tdxfuzz.host import kvm


    class NoTrack(kvm.Kvm):
        def track(self, vm):
            return Status(0), Registers()

``tdxfuzz hunt merged --kvm FILE.py:NoTrack`` runs a design under it.
"""

from __future__ import annotations

from tdxfuzz.host.kernel.errno import EEXIST, EIO, ENOENT
from tdxfuzz.host.kvm.run import RunPaths
from tdxfuzz.host.kvm.vm import Vm, VmState


class Kvm(RunPaths):
    """KVM as in mainline, with dynamic PAMT as in v6 and 2MB pages as posted.

    Each SEAMCALL is a method named after its leaf, e.g. ``range_block``; it returns the status
    and the registers, and every path calls through it. Paths are named after the kernel's
    functions. A subclass keeps no state of its own: it may be asked by several CPUs.
    """

    def create(self, vm: Vm) -> int:
        """``KVM_TDX_INIT_VM``: make a VM a TD."""
        with vm.kvm_lock:
            if vm.state.read() is not VmState.EMPTY:
                return -EEXIST
            result = self.td_init(vm)
            if result == 0:
                vm.users.set(1)
            return result

    def terminate_vm(self, vm: Vm) -> int:
        """``tdx_terminate_vm`` (posted, 20250729193341.621487-6): the HKID goes while the TD still
        has pages, which are reclaimed later. With all that the review of 2025-08-01 asked for:
        nothing else goes on in the TD meanwhile, and nothing begins in it afterwards.

        Where the mail's code gives up because a vCPU runs (-EBUSY), this waits for it.
        """
        with self.state_locks(vm):
            if vm.terminated:
                return -EIO
            with vm.mmu_lock.write():
                vm.terminated = True
            for vcpu in vm.vcpus:
                self.flush_vp_on_cpu(vcpu)
            self.release_hkid(vm)
        return 0

    def destroy(self, vm: Vm) -> int:
        """Close the VM: the TD goes once the last operation on it has ended."""
        with vm.kvm_lock:
            if vm.state.read() is not VmState.INITIALIZED:
                return -ENOENT
            vm.state.write(VmState.DYING)
        self.put_vm(vm)
        return 0

    def put_vm(self, vm: Vm) -> None:
        """``kvm_put_kvm`` of an operation."""
        if vm.users.dec_and_test():
            self.destroy_vm(vm)

    def destroy_vm(self, vm: Vm) -> None:
        """``kvm_destroy_vm``: guest pages, HKID, vCPUs, S-EPT pages, control pages, caches."""
        host = self.host
        for area in range(host.world.areas):
            self.zap_area(vm, area)
        self.zap_all(vm)
        if not vm.terminated:
            for vcpu in vm.vcpus:
                self.flush_vp_on_cpu(vcpu)
            self.release_hkid(vm)
        if not vm.hkid:
            for vcpu in vm.vcpus:
                self.vcpu_free(vcpu)
            self.free_sept_pages(vm)
        self.reclaim_td_control_pages(vm)
        for vcpu in vm.vcpus:
            vcpu.pamt_cache.drain()
            vcpu.pamt_cache.has_head = not host.layer.cache_made_by_vcpu_init
            vcpu.sept_cache.drain()
        vm.split_pamt_cache.drain()
        vm.split_sept_cache.drain()
        vm.finalized = vm.terminated = False
        vm.sptes.clear()
        vm.shared_slots.clear()
        vm.small_areas.clear()
        vm.state.write(VmState.EMPTY)
