"""TDH.MEM.SEPT.RD: what S-EPT says of an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_4K
from tdxfuzz.module import sept_l2
from tdxfuzz.module.access import (
    check_page_info,
    lock_sept_entry,
    lock_tdr,
    map_tdcs,
    report_entry,
)
from tdxfuzz.module.access_l2 import l2_alias_of
from tdxfuzz.module.codes import OPERAND_INVALID, RDX, SUCCESS
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import SHARED

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule

READ_L2_ATTRIBUTES = 1


@leaf(25)
def tdh_mem_sept_rd(m: TdxModule, call: Call) -> int:
    """Report an S-EPT entry in RCX and RDX, whatever its state. Source: tdh_mem_sept_rd.c.

    Bit 0 of RDX asks for the attributes that L2 VMs have, in R8: 16 bits for each VM that has
    an alias. The address of a pending 2MB page shows how far its ACCEPT has come.
    """
    regs = call.regs
    page_info, handle = regs.rcx, regs.rdx
    with_attributes = handle & READ_L2_ATTRIBUTES
    regs.rcx = regs.rdx = 0
    tdr = lock_tdr(m, call, handle & ~READ_L2_ATTRIBUTES, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    if with_attributes and not tdcs.debug:
        raise Refused(OPERAND_INVALID | RDX)
    gpa, level = check_page_info(page_info, LEVEL_4K, tdcs.levels - 1)
    _, entry = lock_sept_entry(m, call, tdcs, gpa, level)
    if with_attributes:
        regs.r8 = 0
        for vm in sept_l2.aliases(entry.raw, tdcs.num_l2_vms):
            l2_alias_of(tdcs, vm, gpa, level, fatal_id=14)
            regs.r8 |= sept_l2.ALL_ATTRIBUTES << 16 * vm
    report_entry(m, call, entry.raw, level)
    return SUCCESS
