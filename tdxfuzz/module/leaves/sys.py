"""TDH.SYS.TDMR.INIT: PAMT of a TDMR is initialised piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import MAX_PA, SIZE_1G, SIZE_4K
from tdxfuzz.module.codes import (
    OPERAND_BUSY,
    OPERAND_INVALID,
    RCX,
    SUCCESS,
    TDMR_ALREADY_INITIALIZED,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.leaves.registry import leaf

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule

PAGES_PER_CALL = 1024
PAGES_PER_CALL_DYNAMIC = 4096


@leaf(36)
def tdh_sys_tdmr_init(m: TdxModule, call: Call) -> int:
    """Initialise the next 16MB of a TDMR (4MB without dynamic PAMT).

    RDX is the end of the 1GB blocks that are ready. Source: tdh_sys_tdmr_init.c.
    """
    regs, base = call.regs, call.regs.rcx
    regs.rdx = 0
    if base & SIZE_1G - 1 or base >> MAX_PA or base & m.hkid_mask:
        raise Refused(OPERAND_INVALID | RCX)
    tdmr = next((t for t in m.pamt.tdmrs if t.base == base), None)
    if tdmr is None:
        raise Refused(OPERAND_INVALID | RCX)
    if not tdmr.lock.acquire():
        raise Refused(OPERAND_BUSY | RCX)
    call.hold(tdmr.lock.release)
    if tdmr.last_initialized >= tdmr.end:
        raise Refused(TDMR_ALREADY_INITIALIZED)
    pages = PAGES_PER_CALL_DYNAMIC if m.pamt.dynamic else PAGES_PER_CALL
    regs.rdx = tdmr.advance(pages * SIZE_4K)
    return SUCCESS
