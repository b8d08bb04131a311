"""TDH.VP.ENTER: a vCPU runs until its next exit, and holds its TDVPR and TDR meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_4K
from tdxfuzz.module.access import lock_implicit_tdr, lock_page, map_tdcs
from tdxfuzz.module.codes import (
    OPERAND_BUSY,
    OPERAND_INVALID,
    RCX,
    SEPT_TREE,
    TD_EPOCH,
    TDCX_NUM_INCORRECT,
    TSC_ROLLBACK,
    VCPU_ASSOCIATED,
    VCPU_STATE_INCORRECT,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.leaves.td_call import Guest
from tdxfuzz.module.leaves.vp import has_all_pages
from tdxfuzz.module.lock import SHARED
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.sept_entry import BASE, RWX, is_leaf, state_of
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.module.td import NO_LP, LastExit, VcpuState
from tdxfuzz.module.td_exit import (
    DATA_WRITE,
    EPT_VIOLATION,
    EXTERNAL_INTERRUPT,
    PROGRAM_MAY_EXIT_WITH,
    TDCALL,
    TRIPLE_FAULT,
    TdExit,
    exit_status,
)
from tdxfuzz.sim import HarnessError

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.module.td import Tdcs, Tdr, Tdvps

HOST_RECOVERABILITY_HINT = 1 << 52
RESUME_L1 = 1 << 53


@leaf(0)
def tdh_vp_enter(m: TdxModule, call: Call) -> int:
    """Run a vCPU with the guest of the calling processor. Sources: tdh_vp_enter.c, td_exit.c.

    The walk to the TDVPR and the entry of the TDR stay shared until the TD exit; OP_STATE,
    and S-EPT if the zero-step filter took it, are released before the guest runs. After an
    exit RAX holds the basic exit reason, RCX, RDX and R8 qualification, extended
    qualification and GPA, and the other registers are 0.

    Not modelled: L2 VMs and the state of the vCPU (registers, MSRs, XSAVE, events), with
    the checks on them: LIMIT_CPUID_MAXVAL_SET, INCONSISTENT_MSR, INCORRECT_MSR_VALUE; a TD
    that became fatal; the registers of TDG.VP.VMCALL; the #VE that notifies the guest of suspected
    zero-stepping; interruption information in R9, and IMM_RESUME_HINT.
    """
    regs, handle = call.regs, call.regs.rcx
    if handle & 0xFFF or handle >> 54:
        raise Refused(OPERAND_INVALID | RCX)
    hpa = handle & BASE
    tdvpr = lock_page(m, call, hpa, RCX, SHARED, PT.TDVPR)
    tdr = lock_implicit_tdr(m, call, tdvpr.entry.owner_hpa, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    tdvps = m.tdvps_at(hpa)
    if not has_all_pages(tdvps, tdcs):
        raise Refused(TDCX_NUM_INCORRECT)
    associate(call, tdcs, tdvps)
    if handle & HOST_RECOVERABILITY_HINT and tdvps.last_exit is not LastExit.ASYNC_TRAP:
        raise Refused(OPERAND_INVALID | RCX)
    if handle & RESUME_L1:
        raise Refused(OPERAND_INVALID | RCX)
    if call.lp.tsc < tdvps.last_exit_tsc:
        raise Refused(TSC_ROLLBACK)
    enter_epoch(tdcs, tdvps)
    gpa = find_expected_fault(call, tdcs, tdvps)
    if gpa is not None:
        tdvps.last_exit = LastExit.ASYNC_FAULT
        TdExit(EPT_VIOLATION, DATA_WRITE, gpa=gpa).report(regs)
        return EPT_VIOLATION

    call.forget(tdcs.op_state_lock.release_sh)
    tdcs.op_state_lock.release_sh()
    if tdvps.fault_gpas:
        call.let_go()
    tdvps.write_state(VcpuState.ACTIVE)
    exit_ = run(m, call, tdr, tdvps)

    exit_.report(regs)
    state = VcpuState.DISABLED if exit_.reason == TRIPLE_FAULT else VcpuState.READY
    if state is VcpuState.READY:
        tdvps.last_exit = LastExit.ASYNC_TRAP if exit_.is_trap else LastExit.ASYNC_FAULT
        if exit_.reason == TDCALL:
            tdvps.last_exit = LastExit.TDVMCALL
    tdvps.write_state(state)
    tdcs.td_epoch.leave(tdvps.epoch)
    return exit_status(exit_)


def associate(call: Call, tdcs: Tdcs, tdvps: Tdvps) -> None:
    """check_and_associate_vcpu: it is ready, and on no processor or on this one.

    The count of associated vCPUs changes with ASSOC_LPID: who relies on it has the TDR for
    itself.
    """
    state = tdvps.read_state()
    if state is not VcpuState.READY:
        raise Refused(VCPU_STATE_INCORRECT | state)
    before = tdvps.associate(call.lp.id)
    if before == NO_LP:
        tdcs.num_assoc_vcpus += 1
    elif before != call.lp.id:
        raise Refused(VCPU_ASSOCIATED)


def enter_epoch(tdcs: Tdcs, tdvps: Tdvps) -> None:
    """adjust_tlb_tracking_state: the vCPU counts as running in the current TD epoch.

    The flush of the TLB, if the epoch is a new one, has no effect in the model.
    """
    if not tdcs.epoch_lock.acquire_sh():
        raise Refused(OPERAND_BUSY | TD_EPOCH)
    tdvps.epoch = tdcs.td_epoch.enter()
    tdcs.epoch_lock.release_sh()


def find_expected_fault(call: Call, tdcs: Tdcs, tdvps: Tdvps) -> int | None:
    """td_entry_stepping_filter: an address that made the guest fault again and again, and
    would once more. Where there is a list of such addresses, S-EPT is held afterwards.
    """
    if not tdvps.fault_gpas:
        return None
    tree = tdcs.secure_ept_lock
    if not tree.acquire_sh():
        tdcs.td_epoch.leave(tdvps.epoch)
        raise Refused(OPERAND_BUSY | SEPT_TREE)
    call.hold(tree.release_sh)
    for gpa in tdvps.fault_gpas:
        if is_fault_expected(tdcs, gpa):
            call.let_go()
            tdcs.td_epoch.leave(tdvps.epoch)
            return gpa
    return None


def is_fault_expected(tdcs: Tdcs, gpa: int) -> bool:
    """is_epf_expected: nothing is mapped there, and no #VE would tell the guest."""
    assert tdcs.sept is not None
    _, raw = tdcs.sept.walk(gpa, LEVEL_4K)
    if raw & RWX and is_leaf(raw):
        return False
    return state_of(raw) is not SeptState.PENDING or tdcs.pending_ve_disable


def run(m: TdxModule, call: Call, tdr: Tdr, tdvps: Tdvps) -> TdExit:
    """Let the guest's program act until it leaves; how it left."""
    guest = Guest(m, call, tdr, tdvps)
    try:
        reason = EXTERNAL_INTERRUPT if call.lp.guest is None else call.lp.guest(guest)
    except TdExit as left:
        return left
    if reason not in PROGRAM_MAY_EXIT_WITH:
        raise HarnessError(f"a guest's program cannot leave with exit reason {reason}")
    guest.vm_exit()
    return TdExit(reason)
