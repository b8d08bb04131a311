"""TDH.MEM.SEPT.ADD and REMOVE: S-EPT pages come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_2M, pfn_of
from tdxfuzz.abi.registers import L2_PAGES
from tdxfuzz.module import sept_l2
from tdxfuzz.module.access import (
    check_interrupt_resumable,
    check_page_info,
    lock_implicit,
    lock_page,
    lock_sept_entry,
    lock_tdr,
    map_tdcs,
    report_entry,
)
from tdxfuzz.module.access_l2 import (
    l2_alias_of,
    report_l2,
    set_alias,
    store_l2,
    walk_l2,
    with_details,
)
from tdxfuzz.module.codes import (
    EPT_ENTRY_STATE_INCORRECT,
    EPT_PAGE_NOT_FREE,
    L2_SEPT_ENTRY_NOT_FREE,
    NULL_PA,
    OPERAND_INVALID,
    R8,
    RAX,
    RCX,
    RDX,
    SUCCESS,
)
from tdxfuzz.module.errors import ModuleFatal, Refused
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
    from tdxfuzz.module.pamt import Walk
    from tdxfuzz.module.sept import SeptEntry
    from tdxfuzz.module.td import Tdr

ALLOW_EXISTING = 1
UNUSED = 1 << 63
"""Set in the address of a new page that was not needed."""


@leaf(3)
def tdh_mem_sept_add(m: TdxModule, call: Call) -> int:
    """Add an S-EPT page below an entry, and those of L2 VMs. Source: tdh_mem_sept_add.c.

    Version 1 takes pages for the L2 VMs in R9..R11, all ones for none. It returns the pages in
    R8..R11: those used as all ones, those not needed with a flag. On exit the S-EPT entry is
    released before the new pages.
    """
    regs = call.regs
    given = regs.rcx, regs.rdx
    pages = [regs.r8]
    if call.version > 0:
        pages += [regs.r9, regs.r10, regs.r11]
    regs.rcx = regs.rdx = 0
    if call.version > 1:
        raise Refused(OPERAND_INVALID | RAX)
    pages = [page if page == NULL_PA else page & ~UNUSED for page in pages]
    flagged = list(pages)
    try:
        return _sept_add(m, call, given, pages, flagged)
    finally:
        if call.version > 0:
            regs.r8, regs.r9, regs.r10, regs.r11 = flagged


def _sept_add(
    m: TdxModule, call: Call, given: tuple[int, int], pages: list[int], flagged: list[int]
) -> int:
    page_info, handle = given
    if handle & 0xFFE or handle >> 52:
        raise Refused(OPERAND_INVALID | RDX)
    tdr_hpa = handle & BASE
    tdr = lock_tdr(m, call, tdr_hpa, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    gpa, level = check_page_info(page_info, LEVEL_2M, tdcs.levels - 1)
    _, entry = lock_sept_entry(m, call, tdcs, gpa, level)
    call.release_first()
    check_sept_state(m, call, entry.raw, level)

    first = len(call.held)
    walk = _lock_l1_page(m, call, entry, bool(handle & ALLOW_EXISTING), pages[0], flagged)
    l2_walks: dict[int, tuple[SeptEntry, Walk]] = {}
    for vm, page in enumerate(pages[1:], start=1):
        if page == NULL_PA:
            continue
        if vm > tdcs.num_l2_vms:
            raise Refused(OPERAND_INVALID | R8 + vm)
        l2_entry = walk_l2(call, tdcs, vm, gpa, level)
        if sept_l2.is_free(l2_entry.raw):
            l2_walks[vm] = l2_entry, lock_page(m, call, page, R8 + vm, EXCLUSIVE, PT.NDA)
            call.release_after(first)
        elif handle & ALLOW_EXISTING:
            flagged[vm] |= UNUSED
        else:
            report_l2(call, l2_entry.raw, vm, level)
            raise Refused(with_details(L2_SEPT_ENTRY_NOT_FREE, vm, level))

    added = walk is not None
    if walk is not None:
        _init_page(m, tdr, walk, SeptPage(pages[0]))
        entry.update(non_leaf_value(m.platform.key_bits.assign(pages[0], tdr.hkid)) | TDEL)
        flagged[0] = NULL_PA
    for vm, (l2_entry, l2_walk) in l2_walks.items():
        if added:
            check_interrupt_resumable(m, call, tdcs, given)
        _init_page(m, tdr, l2_walk, SeptPage(pages[vm], fill=sept_l2.L2_FREE))
        set_alias(m, entry, vm)
        pa = m.platform.key_bits.assign(pages[vm], tdr.hkid)
        store_l2(m, l2_entry, sept_l2.non_leaf(pa))
        flagged[vm] = NULL_PA
        added = True
    return SUCCESS


def _lock_l1_page(
    m: TdxModule, call: Call, entry: SeptEntry, allow_existing: bool, page: int, flagged: list[int]
) -> Walk | None:
    """process_l1_page: lock the new page, or see that there is one already."""
    if page == NULL_PA:
        if call.version == 0:
            raise Refused(OPERAND_INVALID | R8)
        if state_of(entry.raw) is not SeptState.NL_MAPPED:
            report_entry(m, call, entry.raw, entry.level)
            raise Refused(EPT_ENTRY_STATE_INCORRECT | RCX)
        return None
    if state_of(entry.raw) is SeptState.FREE:
        return lock_page(m, call, page, R8, EXCLUSIVE, PT.NDA)
    if allow_existing:
        flagged[0] |= UNUSED
        return None
    report_entry(m, call, entry.raw, entry.level)
    raise Refused(EPT_ENTRY_STATE_INCORRECT | RCX)


def _init_page(m: TdxModule, tdr: Tdr, walk: Walk, page: SeptPage) -> None:
    """init_new_sept_page."""
    m.memory.put(page)
    walk.entry.pt = PT.EPT
    walk.entry.owner = pfn_of(tdr.hpa)
    walk.entry.bepoch = 0
    m.pamt.count_up(walk)
    tdr.chldcnt.xadd(1)


@leaf(30)
def tdh_mem_sept_remove(m: TdxModule, call: Call) -> int:
    """Free an empty S-EPT page, and its L2 aliases. Source: tdh_mem_sept_remove.c.

    Version 1 returns the pages of the L2 VMs in R9..R11. On exit a locked S-EPT entry is
    released before the PAMT entries of the pages.
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
    first = len(call.held)
    page, node = lock_implicit(m, call, hpa, RCX, EXCLUSIVE)
    check_blocked_and_tracked(m, call, tdcs, raw, level, page)
    if not sept.page_of(raw).is_free():
        report_entry(m, call, raw, level)
        raise Refused(EPT_PAGE_NOT_FREE | RCX)
    l2_pages = {}
    for vm in sept_l2.aliases(raw, tdcs.num_l2_vms):
        l2_entry = l2_alias_of(tdcs, vm, gpa, level, fatal_id=15)
        if sept_l2.is_free(l2_entry.raw):
            raise ModuleFatal(16, f"{l2_entry.name} of VM {vm} is FREE, though L1 has an alias")
        l2_hpa = m.platform.key_bits.strip(l2_entry.raw & BASE)
        l2_page, l2_node = lock_implicit(m, call, l2_hpa, RCX, EXCLUSIVE)
        l2_pages[vm] = l2_entry, l2_hpa, l2_page, l2_node
        call.release_after(first)

    for vm, (l2_entry, l2_hpa, l2_page, l2_node) in reversed(l2_pages.items()):
        store_l2(m, l2_entry, sept_l2.L2_FREE)
        tdr.chldcnt.xadd(-1)
        m.sim.step(l2_page, WRITE)
        l2_page.pt = PT.NDA
        hint = m.dec_page_count_and_get_hint(l2_node)
        if call.version > 0:
            setattr(regs, L2_PAGES[vm - 1], l2_hpa | hint)
    entry.update(INIT_VALUE)
    call.forget(entry.unlock)
    tdr.chldcnt.xadd(-1)
    m.sim.step(page, WRITE)
    page.pt = PT.NDA
    regs.rcx = hpa | m.dec_page_count_and_get_hint(node)
    return SUCCESS
