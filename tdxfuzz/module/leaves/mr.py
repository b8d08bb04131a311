"""TDH.MR.EXTEND and FINALIZE: a TD's measurement, of which the model keeps nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_4K
from tdxfuzz.module.access import check_private_gpa, lock_tdr, map_tdcs, report_entry
from tdxfuzz.module.codes import EPT_ENTRY_NOT_PRESENT, NO_VCPUS, OPERAND_INVALID, RCX, RDX, SUCCESS
from tdxfuzz.module.errors import ModuleFatal, Refused
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE
from tdxfuzz.module.sept_entry import RWX, is_leaf, state_of
from tdxfuzz.module.tables import SEPT_STATES
from tdxfuzz.module.td import OpState

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule

CHUNK = 256
"""Bytes that one EXTEND measures."""


@leaf(16)
def tdh_mr_extend(m: TdxModule, call: Call) -> int:
    """Measure 256 bytes of a page that was added. Source: tdh_mr_extend.c.

    The TDR is held exclusive, which stands in for the S-EPT locks. Not modelled: the hash,
    and a module update that is not compatible with it (INCOMPATIBLE_MRTD_CONTEXT).
    """
    regs = call.regs
    gpa, tdr_hpa = regs.rcx, regs.rdx
    regs.rcx = regs.rdx = 0
    tdr = lock_tdr(m, call, tdr_hpa, RDX, EXCLUSIVE)
    tdcs = map_tdcs(m, call, tdr, lock=False)
    if gpa & CHUNK - 1:
        raise Refused(OPERAND_INVALID | RCX)
    check_private_gpa(tdcs, gpa)
    assert tdcs.sept is not None
    entry, raw = tdcs.sept.walk(gpa, LEVEL_4K)
    if not raw & RWX or not is_leaf(raw):
        report_entry(m, call, raw, entry.level)
        raise Refused(EPT_ENTRY_NOT_PRESENT | RCX)
    if state_of(raw) not in SEPT_STATES[call.leaf]:
        raise Refused(EPT_ENTRY_NOT_PRESENT)
    return SUCCESS


@leaf(17)
def tdh_mr_finalize(m: TdxModule, call: Call) -> int:
    """Close the measurement: the TD may run. Source: tdh_mr_finalize.c."""
    tdr = lock_tdr(m, call, call.regs.rcx, RCX, EXCLUSIVE)
    tdcs = map_tdcs(m, call, tdr, lock=False)
    if tdcs.num_vcpus == 0:
        raise Refused(NO_VCPUS)
    if tdcs.build_in_progress:
        tdcs.build_in_progress = False
        if m.td_build_count.xadd(-1) <= 0:
            raise ModuleFatal(357, "TD_BUILD_COUNT below zero")
    tdcs.op_state = OpState.RUNNABLE
    return SUCCESS
