"""TDH.MEM.SEPT.ADD and REMOVE: S-EPT pages come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_2M, pfn_of
from tdxfuzz.module.access import (
    check_page_info,
    lock_implicit,
    lock_page,
    lock_sept_entry,
    lock_tdr,
    map_tdcs,
    report_entry,
)
from tdxfuzz.module.codes import (
    EPT_ENTRY_STATE_INCORRECT,
    EPT_PAGE_NOT_FREE,
    NULL_PA,
    OPERAND_INVALID,
    R8,
    RAX,
    RCX,
    RDX,
    SUCCESS,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.leaves.mem_page import check_blocked_and_tracked, check_sept_state
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.sept import SeptPage
from tdxfuzz.module.sept_entry import BASE, INIT_VALUE, TDEL, non_leaf_value, state_of
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.sim import WRITE

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule

ALLOW_EXISTING = 1
UNUSED = 1 << 63
"""Set in the address of a new page that was not needed."""


@leaf(3)
def tdh_mem_sept_add(m: TdxModule, call: Call) -> int:
    """Add an S-EPT page below an entry. Source: tdh_mem_sept_add.c.

    Version 1 returns the pages in R8..R11, those used as all ones. L2 pages are not
    modelled: an L2 page given where the TD has no L2 VM is refused, as in the source.
    On exit the S-EPT entry is released before the new page.
    """
    regs = call.regs
    page_info, handle = regs.rcx, regs.rdx
    pages = [regs.r8]
    if call.version > 0:
        pages += [regs.r9, regs.r10, regs.r11]
    regs.rcx = regs.rdx = 0
    if call.version > 1:
        raise Refused(OPERAND_INVALID | RAX)
    pages = [page if page == NULL_PA else page & ~UNUSED for page in pages]
    flagged = list(pages)
    try:
        return _sept_add(m, call, page_info, handle, pages, flagged)
    finally:
        if call.version > 0:
            regs.r8, regs.r9, regs.r10, regs.r11 = flagged


def _sept_add(
    m: TdxModule, call: Call, page_info: int, handle: int, pages: list[int], flagged: list[int]
) -> int:
    if handle & 0xFFE or handle >> 52:
        raise Refused(OPERAND_INVALID | RDX)
    tdr_hpa = handle & BASE
    tdr = lock_tdr(m, call, tdr_hpa, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    gpa, level = check_page_info(page_info, LEVEL_2M, tdcs.levels - 1)
    _, entry = lock_sept_entry(m, call, tdcs, gpa, level)
    call.release_first()
    check_sept_state(m, call, entry.raw, level)

    walk = None
    if pages[0] == NULL_PA:
        if call.version == 0:
            raise Refused(OPERAND_INVALID | R8)
        if state_of(entry.raw) is not SeptState.NL_MAPPED:
            report_entry(m, call, entry.raw, level)
            raise Refused(EPT_ENTRY_STATE_INCORRECT | RCX)
    elif state_of(entry.raw) is SeptState.FREE:
        walk = lock_page(m, call, pages[0], R8, EXCLUSIVE, PT.NDA)
    elif handle & ALLOW_EXISTING:
        flagged[0] |= UNUSED
    else:
        report_entry(m, call, entry.raw, level)
        raise Refused(EPT_ENTRY_STATE_INCORRECT | RCX)
    for vm, page in enumerate(pages[1:], start=1):
        if page != NULL_PA and vm > tdcs.num_l2_vms:
            raise Refused(OPERAND_INVALID | R8 + vm)

    if walk is not None:
        m.memory.put(SeptPage(pages[0]))
        walk.entry.pt = PT.EPT
        walk.entry.owner = pfn_of(tdr_hpa)
        walk.entry.bepoch = 0
        m.pamt.count_up(walk)
        tdr.chldcnt.xadd(1)
        entry.update(non_leaf_value(m.platform.key_bits.assign(pages[0], tdr.hkid)) | TDEL)
        flagged[0] = NULL_PA
    return SUCCESS


@leaf(30)
def tdh_mem_sept_remove(m: TdxModule, call: Call) -> int:
    """Free an empty S-EPT page. Source: tdh_mem_sept_remove.c.

    On exit a locked S-EPT entry is released before the page's PAMT entry.
    """
    regs = call.regs
    page_info, tdr_hpa = regs.rcx, regs.rdx
    regs.rcx = regs.rdx = 0
    if call.version > 0:
        regs.r9 = regs.r10 = regs.r11 = NULL_PA
    if call.version > 1:
        raise Refused(OPERAND_INVALID | RAX)
    tdr = lock_tdr(m, call, tdr_hpa, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    gpa, level = check_page_info(page_info, LEVEL_2M, tdcs.levels - 1)
    sept, entry = lock_sept_entry(m, call, tdcs, gpa, level, EXCLUSIVE)
    call.release_first()
    raw = entry.raw
    check_sept_state(m, call, raw, level)
    hpa = m.platform.key_bits.strip(raw & BASE)
    page, node = lock_implicit(m, call, hpa, RCX, EXCLUSIVE)
    check_blocked_and_tracked(m, call, tdcs, raw, level, page)
    if not sept.page_of(raw).is_free():
        report_entry(m, call, raw, level)
        raise Refused(EPT_PAGE_NOT_FREE | RCX)

    entry.update(INIT_VALUE)
    call.forget(entry.unlock)
    tdr.chldcnt.xadd(-1)
    m.sim.step(page, WRITE)
    page.pt = PT.NDA
    regs.rcx = hpa | m.dec_page_count_and_get_hint(node)
    return SUCCESS
