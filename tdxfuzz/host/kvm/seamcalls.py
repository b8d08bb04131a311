"""The SEAMCALLs that KVM makes: one method each, named after its leaf.

A method makes the call once, and returns what it answered. Which lock is held, and what follows
from BUSY, is for the path that calls it.

Source: arch/x86/virt/vmx/tdx/tdx.c (v6.19), the exported wrappers of that name, such as
``tdh_mem_range_block``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import Registers, Status, find
from tdxfuzz.abi.address import LEVEL_2M, hpa_of
from tdxfuzz.abi.registers import DEMOTE_PAIR
from tdxfuzz.host.layout import PARAMS_HPA
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.host.kvm.vm import Vcpu, Vm
    from tdxfuzz.host.tdx_core import TdxCore

MNG_CREATE = find("TDH.MNG.CREATE").number
MNG_KEY_CONFIG = find("TDH.MNG.KEY.CONFIG").number
MNG_ADDCX = find("TDH.MNG.ADDCX").number
MNG_INIT = find("TDH.MNG.INIT").number
MNG_VPFLUSHDONE = find("TDH.MNG.VPFLUSHDONE").number
MNG_KEY_FREEID = find("TDH.MNG.KEY.FREEID").number
PAGE_RECLAIM = find("TDH.PHYMEM.PAGE.RECLAIM").number
CACHE_WB = find("TDH.PHYMEM.CACHE.WB").number
PAGE_WBINVD = find("TDH.PHYMEM.PAGE.WBINVD").number
VP_CREATE = find("TDH.VP.CREATE").number
VP_ADDCX = find("TDH.VP.ADDCX").number
VP_INIT = find("TDH.VP.INIT").number
VP_FLUSH = find("TDH.VP.FLUSH").number
VP_ENTER = find("TDH.VP.ENTER").number
MR_FINALIZE = find("TDH.MR.FINALIZE").number
SEPT_ADD = find("TDH.MEM.SEPT.ADD").number
PAGE_AUG = find("TDH.MEM.PAGE.AUG").number
RANGE_BLOCK = find("TDH.MEM.RANGE.BLOCK").number
RANGE_UNBLOCK = find("TDH.MEM.RANGE.UNBLOCK").number
TRACK = find("TDH.MEM.TRACK").number
PAGE_REMOVE = find("TDH.MEM.PAGE.REMOVE").number
PAGE_DEMOTE = find("TDH.MEM.PAGE.DEMOTE").number
PAGE_PROMOTE = find("TDH.MEM.PAGE.PROMOTE").number

WITH_X2APIC_ID = 1
"""The version of VP.INIT that takes the x2APIC id in R8."""

Answer = tuple[Status, Registers]
"""What a SEAMCALL answered, and the registers after it."""

Make = Callable[[], Answer]
"""Makes a certain SEAMCALL once."""


class Seamcalls:
    """One method for each SEAMCALL of KVM's. A subclass may change any of them.

    ``level`` is the S-EPT level of a mapping, 0 for a page of 4KB; ``pfn`` is a page of the host.

    Args:
        host: what the calls are made on.
    """

    STATE: ClassVar = Declared(fixed="host")

    def __init__(self, host: TdxCore) -> None:
        self.host = host

    # A TD and its HKID.

    def mng_create(self, vm: Vm, pfn: int) -> Answer:
        """Make a page the TDR of a TD with the VM's HKID."""
        return self.host.seamcall(MNG_CREATE, rcx=hpa_of(pfn), rdx=vm.hkid)

    def mng_key_config(self, vm: Vm) -> Answer:
        """Give the HKID a key on this package."""
        return self.host.seamcall(MNG_KEY_CONFIG, rcx=vm.tdr)

    def mng_addcx(self, vm: Vm, pfn: int) -> Answer:
        """Add a page to the TDCS."""
        return self.host.seamcall(MNG_ADDCX, rcx=hpa_of(pfn), rdx=vm.tdr)

    def mng_init(self, vm: Vm) -> Answer:
        """Initialise the TD from TD_PARAMS."""
        return self.host.seamcall(MNG_INIT, rcx=vm.tdr, rdx=PARAMS_HPA)

    def mng_vpflushdone(self, vm: Vm) -> Answer:
        """Say that no vCPU is associated with a processor any more."""
        return self.host.seamcall(MNG_VPFLUSHDONE, rcx=vm.tdr)

    def cache_wb(self, resume: bool) -> Answer:
        """Write back the caches of this package; ``resume`` goes on where an interrupt came."""
        return self.host.seamcall(CACHE_WB, rcx=int(resume))

    def mng_key_freeid(self, vm: Vm) -> Answer:
        """Free the HKID."""
        return self.host.seamcall(MNG_KEY_FREEID, rcx=vm.tdr)

    def page_reclaim(self, pfn: int) -> Answer:
        """Take a page back whose TD has no HKID any more; R9 has the removal hint."""
        return self.host.seamcall(PAGE_RECLAIM, rcx=hpa_of(pfn))

    def page_wbinvd(self, vm: Vm, pfn: int) -> Answer:
        """Write back what the caches have of a page under the TD's key."""
        return self._wbinvd(pfn, vm.hkid)

    def page_wbinvd_tdr(self, pfn: int) -> Answer:
        """The same for a TDR, which the module has touched with a key of its own."""
        return self._wbinvd(pfn, self.host.module.platform.global_hkid)

    def _wbinvd(self, pfn: int, hkid: int) -> Answer:
        with_key = self.host.module.platform.key_bits.assign(hpa_of(pfn), hkid)
        return self.host.seamcall(PAGE_WBINVD, rcx=with_key)

    def mr_finalize(self, vm: Vm) -> Answer:
        """Close the measurement: the TD may run."""
        return self.host.seamcall(MR_FINALIZE, rcx=vm.tdr)

    # A vCPU.

    def vp_create(self, vm: Vm, pfn: int) -> Answer:
        """Make a page the TDVPR of a new vCPU."""
        return self.host.seamcall(VP_CREATE, rcx=hpa_of(pfn), rdx=vm.tdr)

    def vp_addcx(self, vcpu: Vcpu, pfn: int) -> Answer:
        """Add a page to a vCPU's TDVPS."""
        return self.host.seamcall(VP_ADDCX, rcx=hpa_of(pfn), rdx=vcpu.tdvpr)

    def vp_init(self, vcpu: Vcpu) -> Answer:
        """Initialise a vCPU, which associates it with the current CPU."""
        return self.host.seamcall(VP_INIT, WITH_X2APIC_ID, rcx=vcpu.tdvpr, rdx=0, r8=vcpu.id)

    def vp_flush(self, vcpu: Vcpu) -> Answer:
        """Take a vCPU off the CPU it is associated with, by IPI there."""
        return self.host.seamcall(VP_FLUSH, on_cpu=vcpu.cpu, rcx=vcpu.tdvpr)

    def vp_enter(self, vcpu: Vcpu) -> Answer:
        """Run a vCPU on this CPU until it leaves the guest; RAX has the exit reason."""
        return self.host.seamcall(VP_ENTER, rcx=vcpu.tdvpr)

    # Its memory.

    def sept_add(self, vm: Vm, gpa: int, level: int, pfn: int) -> Answer:
        """Put an S-EPT page behind the entry of ``gpa`` at ``level``."""
        aligned = gpa >> 12 + 9 * level << 12 + 9 * level
        return self.host.seamcall(SEPT_ADD, rcx=aligned | level, rdx=vm.tdr, r8=hpa_of(pfn))

    def page_aug(self, vm: Vm, gpa: int, level: int, pfn: int) -> Answer:
        """Map a page, which the guest has to accept."""
        return self.host.seamcall(PAGE_AUG, rcx=gpa | level, rdx=vm.tdr, r8=hpa_of(pfn))

    def range_block(self, vm: Vm, gpa: int, level: int) -> Answer:
        """Let no new translation of a mapping into the TLBs."""
        return self.host.seamcall(RANGE_BLOCK, rcx=gpa | level, rdx=vm.tdr)

    def range_unblock(self, vm: Vm, gpa: int, level: int) -> Answer:
        """Undo :meth:`range_block`."""
        return self.host.seamcall(RANGE_UNBLOCK, rcx=gpa | level, rdx=vm.tdr)

    def track(self, vm: Vm) -> Answer:
        """Begin a new epoch: vCPUs that are entered from now on have no old translation."""
        return self.host.seamcall(TRACK, rcx=vm.tdr)

    def page_remove(self, vm: Vm, gpa: int, level: int) -> Answer:
        """Remove a mapping that was blocked and tracked; RCX has the removal hint."""
        return self.host.seamcall(PAGE_REMOVE, rcx=gpa | level, rdx=vm.tdr)

    def page_demote(self, vm: Vm, gpa: int, sept_pfn: int, pair: tuple[int, ...]) -> Answer:
        """Split a 2MB mapping, with an S-EPT page and the pages of a pair."""
        pages = dict(zip(DEMOTE_PAIR, map(hpa_of, pair), strict=False))
        return self.host.seamcall(
            PAGE_DEMOTE, **pages, rcx=gpa | LEVEL_2M, rdx=vm.tdr, r8=hpa_of(sept_pfn)
        )

    def page_promote(self, vm: Vm, gpa: int) -> Answer:
        """Merge the 4KB mappings of 2MB; RCX has the removal hint."""
        return self.host.seamcall(PAGE_PROMOTE, rcx=gpa | LEVEL_2M, rdx=vm.tdr)
