"""TDH.VP.CREATE, ADDCX, INIT, FLUSH: a vCPU is built and taken off its processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import pfn_of
from tdxfuzz.module.access import lock_implicit_tdr, lock_page, lock_tdr, map_tdcs
from tdxfuzz.module.codes import (
    MAX_VCPUS_EXCEEDED,
    OPERAND_INVALID,
    R8,
    RAX,
    RCX,
    RDX,
    SUCCESS,
    TD_KEYS_NOT_CONFIGURED,
    TDCX_NUM_INCORRECT,
    VCPU_NOT_ASSOCIATED,
    VCPU_STATE_INCORRECT,
    X2APIC_ID_NOT_UNIQUE,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.td import (
    MAX_TDVPS_PAGES,
    MIN_TDVPS_PAGES,
    NO_LP,
    Lifecycle,
    Tdcs,
    TdcxPage,
    Tdvps,
    VcpuState,
)

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule

PAGES_PER_L2_VM = 3


@leaf(10)
def tdh_vp_create(m: TdxModule, call: Call) -> int:
    """Make a page the TDVPR of a new vCPU. Source: tdh_vp_create.c."""
    regs = call.regs
    tdr = lock_tdr(m, call, regs.rdx, RDX, SHARED)
    map_tdcs(m, call, tdr)
    walk = lock_page(m, call, regs.rcx, RCX, EXCLUSIVE, PT.NDA)

    m.memory.put(Tdvps(m.sim, regs.rcx))
    tdr.chldcnt.xadd(1)
    walk.entry.pt = PT.TDVPR
    walk.entry.owner = pfn_of(regs.rdx)
    m.pamt.count_up(walk)
    return SUCCESS


@leaf(4)
def tdh_vp_addcx(m: TdxModule, call: Call) -> int:
    """Add a page to a vCPU's TDVPS. Source: tdh_vp_addcx.c.

    On exit the TDVPR is released before the new page (the source's order).
    """
    regs = call.regs
    tdvpr = lock_page(m, call, regs.rdx, RDX, EXCLUSIVE, PT.TDVPR)
    call.release_first()
    tdr = lock_implicit_tdr(m, call, tdvpr.entry.owner_hpa, SHARED)
    map_tdcs(m, call, tdr)
    tdvps = m.tdvps_at(regs.rdx)
    if tdvps.initialized:
        raise Refused(VCPU_STATE_INCORRECT | VcpuState.READY)
    if tdvps.num_pages >= MAX_TDVPS_PAGES:
        raise Refused(TDCX_NUM_INCORRECT)

    walk = lock_page(m, call, regs.rcx, RCX, EXCLUSIVE, PT.NDA)
    m.memory.put(TdcxPage(regs.rcx))
    tdvps.num_pages += 1
    tdr.chldcnt.xadd(1)
    walk.entry.pt = PT.TDCX
    walk.entry.owner = tdvpr.entry.owner
    m.pamt.count_up(walk)
    return SUCCESS


@leaf(22)
def tdh_vp_init(m: TdxModule, call: Call) -> int:
    """Initialise a vCPU and associate it with the caller. Source: tdh_vp_init.c.

    The counters of vCPUs change by locked instructions in the source; here all of that
    is done within the step that takes TDCS.OP_STATE.
    """
    regs = call.regs
    if call.version > 1:
        raise Refused(OPERAND_INVALID | RAX)
    tdvpr = lock_page(m, call, regs.rcx, RCX, EXCLUSIVE, PT.TDVPR)
    tdr_mode = EXCLUSIVE if call.version > 0 else SHARED
    tdr = lock_implicit_tdr(m, call, tdvpr.entry.owner_hpa, tdr_mode)
    tdcs = map_tdcs(m, call, tdr)
    tdvps = m.tdvps_at(regs.rcx)
    if not has_all_pages(tdvps, tdcs):
        raise Refused(TDCX_NUM_INCORRECT)
    if tdvps.initialized:
        raise Refused(VCPU_STATE_INCORRECT | VcpuState.READY)
    index = tdcs.num_vcpus
    if index >= tdcs.max_vcpus:
        raise Refused(MAX_VCPUS_EXCEEDED)
    if call.version > 0:
        if regs.r8 >> 32:
            raise Refused(OPERAND_INVALID | R8)
        if regs.r8 in (tdcs.x2apic_ids.get(i, 0) for i in range(index)):
            raise Refused(X2APIC_ID_NOT_UNIQUE | regs.r8)
        tdcs.x2apic_ids[index] = regs.r8
    tdcs.num_vcpus += 1
    tdvps.vcpu_index = index
    tdvps.state = VcpuState.READY
    tdvps.last_exit_tsc = call.lp.tsc
    tdvps.assoc_lp = call.lp.id
    tdcs.num_assoc_vcpus += 1
    return SUCCESS


@leaf(18)
def tdh_vp_flush(m: TdxModule, call: Call) -> int:
    """Take a vCPU off the calling processor. Source: tdh_vp_flush.c.

    On exit the TDR is released before the TDVPR.
    """
    tdvpr = lock_page(m, call, call.regs.rcx, RCX, EXCLUSIVE, PT.TDVPR)
    tdr = lock_implicit_tdr(m, call, tdvpr.entry.owner_hpa, SHARED)
    if tdr.lifecycle is not Lifecycle.KEYS_CONFIGURED:
        raise Refused(TD_KEYS_NOT_CONFIGURED)
    tdvps = m.tdvps_at(call.regs.rcx)
    if not has_all_pages(tdvps, tdr.tdcs):
        raise Refused(TDCX_NUM_INCORRECT)
    if tdvps.assoc_lp != call.lp.id:
        raise Refused(VCPU_NOT_ASSOCIATED)
    tdvps.assoc_lp = NO_LP
    tdr.tdcs.num_assoc_vcpus -= 1
    return SUCCESS


def has_all_pages(tdvps: Tdvps, tdcs: Tdcs) -> bool:
    """map_tdvps: the vCPU has as many pages as the TD's number of L2 VMs asks for."""
    return tdvps.num_pages >= MIN_TDVPS_PAGES + tdcs.num_l2_vms * PAGES_PER_L2_VM
