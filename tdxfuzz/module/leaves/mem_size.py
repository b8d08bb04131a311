"""TDH.MEM.PAGE.DEMOTE and PROMOTE: a 2MB page split, 512 4KB pages merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, SIZE_4K, pfn_of
from tdxfuzz.abi.registers import DEMOTE_PAIR
from tdxfuzz.module.access import (
    block_of,
    check_hpa,
    check_page_info,
    lock_implicit,
    lock_page,
    lock_sept_entry,
    lock_tdr,
    map_tdcs,
    report_entry,
)
from tdxfuzz.module.codes import (
    EPT_INVALID_PROMOTE_CONDITIONS,
    INTERRUPTED_BUSY,
    INTERRUPTED_RESTARTABLE,
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
    from tdxfuzz.module.td import Tdcs


@leaf(15)
def tdh_mem_page_demote(m: TdxModule, call: Call) -> int:
    """Split a 2MB page: a new S-EPT page, and a PAMT page pair for the range.

    Source: tdh_mem_page_demote.c and pamt_demote. Not modelled: L2 VMs, 1GB pages (a
    TD gets none here: AUG refuses them, and PROMOTE to 1GB needs 512 2MB pages).
    """
    regs = call.regs
    given = regs.rcx, regs.rdx
    page_info, handle, sept_hpa = regs.rcx, regs.rdx, regs.r8
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
    walk = lock_page(m, call, sept_hpa, R8, EXCLUSIVE, PT.NDA)

    first = unblocked(raw) & ~TDEL
    m.memory.put(m.pamt.split.table(m.sim, sept_hpa, first, tdr_hpa, gpa))
    check_interrupt(m, call, tdcs, given)
    split_pamt(m, call, node)

    entry.update(non_leaf_value(m.platform.key_bits.assign(sept_hpa, tdr.hkid)) | TDEL)
    walk.entry.owner = pfn_of(tdr_hpa)
    walk.entry.pt = PT.EPT
    m.pamt.count_up(walk)
    tdr.chldcnt.xadd(1)
    return SUCCESS


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

    Source: tdh_mem_page_promote.c and pamt_promote. Not modelled: L2 VMs, and merging
    to 1GB beyond its refusals.
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
    page, sept_node = lock_implicit(m, call, sept_hpa, RCX, EXCLUSIVE)
    check_blocked_and_tracked(m, call, tdcs, raw, level, page)
    lower = sept.page_of(raw)
    if not is_mergeable(m, lower, level):
        report_entry(m, call, raw, level)
        raise Refused(EPT_INVALID_PROMOTE_CONDITIONS | RCX)
    check_interrupt(m, call, tdcs, given)

    first = lower.raw(0)
    pages = merge_pamt(m, m.platform.key_bits.strip(first & BASE))
    entry.update(first & ~TDHP | TDEL)
    tdr.chldcnt.xadd(-1)
    m.sim.step(page, WRITE)
    page.pt = PT.NDA
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


def check_interrupt(m: TdxModule, call: Call, tdcs: Tdcs, given: tuple[int, int]) -> None:
    """check_host_interrupt_and_hp_bit: give up with RCX and RDX as they came."""
    if call.lp.interrupt_pending:
        call.regs.rcx, call.regs.rdx = given
        raise Refused(INTERRUPTED_RESTARTABLE)
    m.sim.step(tdcs.secure_ept_lock, READ)
    if tdcs.secure_ept_lock.host_priority:
        call.regs.rcx, call.regs.rdx = given
        raise Refused(INTERRUPTED_BUSY)
