"""TDH.MEM.PAGE.DEMOTE and PROMOTE: a 2MB page split, 512 4KB pages merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, SIZE_4K, pfn_of
from tdxfuzz.abi.registers import DEMOTE_PAIR, L2_PAGES
from tdxfuzz.module import sept_l2
from tdxfuzz.module.access import (
    block_of,
    check_hpa,
    check_interrupt,
    check_page_info,
    lock_implicit,
    lock_page,
    lock_sept_entry,
    lock_tdr,
    map_tdcs,
    report_entry,
)
from tdxfuzz.module.access_l2 import l2_alias_of, set_alias, store_l2, walk_l2
from tdxfuzz.module.codes import (
    EPT_INVALID_PROMOTE_CONDITIONS,
    NULL_PA,
    OPERAND_BUSY,
    OPERAND_INVALID,
    R8,
    RAX,
    RCX,
    RDX,
    SUCCESS,
)
from tdxfuzz.module.errors import ModuleFatal, Refused
from tdxfuzz.module.leaves.mem_page import check_blocked_and_tracked, check_sept_state
from tdxfuzz.module.leaves.phymem_pamt import (
    Donor,
    fill_backing_pages,
    lock_donors,
    pair_operands,
    take_donors,
)
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.pamt import PT, Pamt2M
from tdxfuzz.module.sept import SeptPage
from tdxfuzz.module.sept_entry import (
    BASE,
    TDEL,
    TDHP,
    non_leaf_value,
    state_of,
    unblocked,
    without_accept_count,
)
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.sim import READ, WRITE

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.module.pamt import Walk
    from tdxfuzz.module.td import Tdr

ONLY_ALIASES = 1
"""In RDX: an L2 VM without an alias of the page gets no S-EPT page (L2_SEPT_ADD_MODE)."""
UNUSED = 1 << 63
"""Set in the address of a page that was not used."""


@leaf(15)
def tdh_mem_page_demote(m: TdxModule, call: Call) -> int:
    """Split a 2MB page: a new S-EPT page, and a PAMT page pair for the range.

    Source: tdh_mem_page_demote.c and pamt_demote. The L2 VMs get pages of R9..R11, all ones
    for none; with a flag in RDX those that have no alias get none. Not modelled: 1GB pages (a
    TD gets none here: AUG refuses them, and PROMOTE to 1GB needs 512 2MB pages).
    """
    regs = call.regs
    given = regs.rcx, regs.rdx
    page_info, handle, sept_hpa = regs.rcx, regs.rdx, regs.r8
    l2_pages = [regs.r9, regs.r10, regs.r11]
    regs.rcx = regs.rdx = 0
    if handle & 0xFFE or handle >> 52:
        raise Refused(OPERAND_INVALID | RDX)
    tdr_hpa = handle & BASE
    tdr = lock_tdr(m, call, tdr_hpa, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    gpa, level = check_page_info(page_info, LEVEL_2M, LEVEL_1G)
    _, entry = lock_sept_entry(m, call, tdcs, gpa, level)
    raw = entry.raw
    check_sept_state(m, call, raw, level)
    raw = without_accept_count(raw, level)
    hpa = m.platform.key_bits.strip(raw & BASE)
    page, node = m.pamt.implicit(hpa, level)
    check_blocked_and_tracked(m, call, tdcs, raw, level, page)
    first_held = len(call.held)
    walk = lock_page(m, call, sept_hpa, R8, EXCLUSIVE, PT.NDA)
    l2_walks = {}
    for vm in range(1, tdcs.num_l2_vms + 1):
        page_hpa = l2_pages[vm - 1]
        if page_hpa == NULL_PA:
            continue
        if handle & ONLY_ALIASES:
            l2_pages[vm - 1] |= UNUSED
            continue
        l2_walks[vm] = lock_page(m, call, page_hpa & ~UNUSED, R8 + vm, EXCLUSIVE, PT.NDA)
        call.release_after(first_held)

    first = unblocked(raw) & ~TDEL
    m.memory.put(m.pamt.split.table(m.sim, sept_hpa, first, tdr_hpa, gpa))
    l2_entries = {}
    for vm, l2_walk in l2_walks.items():
        check_interrupt(m, call, tdcs, given)
        l2_entries[vm] = walk_l2(call, tdcs, vm, gpa, level)
        m.memory.put(SeptPage(l2_walk.entry.hpa, fill=sept_l2.L2_FREE))
    check_interrupt(m, call, tdcs, given)
    split_pamt(m, call, node)

    entry.update(non_leaf_value(m.platform.key_bits.assign(sept_hpa, tdr.hkid)) | TDEL)
    _count_page(m, tdr, walk)
    for vm, l2_walk in l2_walks.items():
        pa = m.platform.key_bits.assign(l2_walk.entry.hpa, tdr.hkid)
        store_l2(m, l2_entries[vm], sept_l2.non_leaf(pa))
        set_alias(m, entry, vm)
        _count_page(m, tdr, l2_walk)
    regs.r9, regs.r10, regs.r11 = l2_pages
    return SUCCESS


def _count_page(m: TdxModule, tdr: Tdr, walk: Walk) -> None:
    """A free page becomes an S-EPT page of a TD."""
    walk.entry.owner = pfn_of(tdr.hpa)
    walk.entry.pt = PT.EPT
    m.pamt.count_up(walk)
    tdr.chldcnt.xadd(1)


def split_pamt(m: TdxModule, call: Call, node: Pamt2M) -> None:
    """pamt_demote: the 2MB entry held exclusive, the pair checked and taken as in ADD.

    All of it is released again before the S-EPT entry changes.
    """
    if not node.acquire_ex():
        raise Refused(OPERAND_BUSY | RCX)
    outer = len(call.held)
    call.hold(node.release_ex)
    owner = node.owner
    if m.pamt.dynamic:
        operands = pair_operands(m, call.regs, DEMOTE_PAIR)
        for hpa, operand in operands:
            check_hpa(m, hpa, operand)
        donors = [Donor(hpa, operand, block_of(m, hpa, operand)) for hpa, operand in operands]
        lock_donors(m, call, donors, own_range=None)
        take_donors(donors)
        backing = fill_backing_pages(m, donors, node.hpa, PT.REG, owner)
        node.set_node(backing, page_count=m.pamt.split.pages_at(LEVEL_2M))
    else:
        for small in m.pamt.entries_4k(node):
            small.pt, small.owner, small.bepoch = PT.REG, owner, 0
        node.pt = PT.NDA
    while len(call.held) > outer:
        call.let_go()


@leaf(23)
def tdh_mem_page_promote(m: TdxModule, call: Call) -> int:
    """Merge 512 4KB pages into a 2MB page: frees an S-EPT page and a PAMT page pair.

    Source: tdh_mem_page_promote.c and pamt_promote. Version 1 returns the S-EPT pages of L2
    VMs in R9..R11. Not modelled: merging to 1GB beyond its refusals.
    """
    regs = call.regs
    given = regs.rcx, regs.rdx
    page_info, tdr_hpa = regs.rcx, regs.rdx
    regs.rcx = regs.rdx = 0
    if call.version > 0:
        regs.r9 = regs.r10 = regs.r11 = NULL_PA
    if call.version > 1:
        raise Refused(OPERAND_INVALID | RAX)
    tdr = lock_tdr(m, call, tdr_hpa, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    gpa, level = check_page_info(page_info, LEVEL_2M, LEVEL_1G)
    sept, entry = lock_sept_entry(m, call, tdcs, gpa, level, EXCLUSIVE)
    raw = entry.raw
    check_sept_state(m, call, raw, level)
    sept_hpa = m.platform.key_bits.strip(raw & BASE)
    first_held = len(call.held)
    page, sept_node = lock_implicit(m, call, sept_hpa, RCX, EXCLUSIVE)
    check_blocked_and_tracked(m, call, tdcs, raw, level, page)
    lower = sept.page_of(raw)
    if not is_mergeable(m, lower, level):
        report_entry(m, call, raw, level)
        raise Refused(EPT_INVALID_PROMOTE_CONDITIONS | RCX)
    l2_pages = {}
    for vm in sept_l2.aliases(raw, tdcs.num_l2_vms):
        check_interrupt(m, call, tdcs, given)
        l2_entry = l2_alias_of(tdcs, vm, gpa, level, fatal_id=8)
        if sept_l2.is_free(l2_entry.raw):
            raise ModuleFatal(285, f"{l2_entry.name} of VM {vm} is FREE, though L1 has an alias")
        l2_hpa = m.platform.key_bits.strip(l2_entry.raw & BASE)
        l2_page, l2_node = lock_implicit(m, call, l2_hpa, RCX, EXCLUSIVE)
        l2_pages[vm] = l2_entry, l2_hpa, l2_page, l2_node
        call.release_after(first_held)
        if not sept_l2.is_page_free(tdcs.l2_septs[vm - 1].page_of(l2_entry.raw)):
            report_entry(m, call, raw, level)
            raise Refused(EPT_INVALID_PROMOTE_CONDITIONS | RCX)
    check_interrupt(m, call, tdcs, given)

    first = lower.raw(0)
    pages = merge_pamt(m, m.platform.key_bits.strip(first & BASE))
    entry.update(first & ~TDHP | TDEL)
    tdr.chldcnt.xadd(-1)
    m.sim.step(page, WRITE)
    page.pt = PT.NDA
    for vm, (l2_entry, l2_hpa, l2_page, l2_node) in l2_pages.items():
        l2_entry.update(sept_l2.L2_FREE)
        tdr.chldcnt.xadd(-1)
        m.sim.step(l2_page, WRITE)
        l2_page.pt = PT.NDA
        hint = m.dec_page_count_and_get_hint(l2_node)
        if call.version > 0:
            setattr(regs, L2_PAGES[vm - 1], l2_hpa | hint)
    regs.rcx = sept_hpa | m.dec_page_count_and_get_hint(sept_node)
    if m.pamt.dynamic and level == LEVEL_2M:
        for name, hpa in zip(m.pamt.variant.pair_of(DEMOTE_PAIR), pages, strict=True):
            setattr(regs, name, hpa)
    return SUCCESS


def is_mergeable(m: TdxModule, page: SeptPage, level: int) -> bool:
    """is_sept_page_valid_for_merge: 512 like entries, mapped or pending, contiguous."""
    size = SIZE_4K << 9 * (level - 1)
    first = page.raw(0)
    base = m.platform.key_bits.strip(first & BASE)
    if base & (size << 9) - 1 or state_of(first) not in (SeptState.MAPPED, SeptState.PENDING):
        return False
    return all(page.raw(i) & ~TDHP == (first & ~TDHP) + i * size for i in m.pamt.split.indices)


def merge_pamt(m: TdxModule, hpa: int) -> tuple[int, ...]:
    """pamt_promote for 2MB: the pages of the pair, now free.

    Raises:
        ModuleFatal: 217 or 223 if the range's entry is not what 4KB pages need.
    """
    block = m.pamt.block_of(hpa)
    if block is None:
        raise ModuleFatal(168, f"no PAMT for page {hpa:#x}, which is in use")
    node = block.entry_2m(hpa)
    m.sim.step(node, READ)
    if node.pt != (PT.PAMT if m.pamt.dynamic else PT.NDA):
        raise ModuleFatal(217 if m.pamt.dynamic else 223, f"{node.name} is not a node")
    if not node.acquire_ex():
        raise Refused(OPERAND_BUSY | RCX)
    first = m.pamt.entry_4k(hpa, node)
    pages: tuple[int, ...] = ()
    if m.pamt.dynamic:
        pages = tuple(page.hpa for page in node.backing)
    else:
        for small in m.pamt.entries_4k(node):
            small.pt = PT.NDA
    node.pt, node.owner = PT.REG, first.owner
    if m.pamt.dynamic:
        node.bepoch = 0
        for backing in node.backing:
            home = m.pamt.block_of(backing.hpa)
            if home is None:
                raise ModuleFatal(337, f"no PAMT for PAMT page {backing.hpa:#x}")
            home.tdmr.bitmap.reset(backing.hpa)
            backing.owned = False
    node.release_ex()
    return pages
