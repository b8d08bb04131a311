"""TDH.PHYMEM.*: physical pages looked at, reclaimed and written back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_4K, MAX_PA, SIZE_4K
from tdxfuzz.abi.registers import RDMD_PAIR
from tdxfuzz.module.access import block_of, check_hpa, lock_implicit_tdr, lock_page
from tdxfuzz.module.codes import (
    INTERRUPTED_RESUMABLE,
    KOT,
    LIFECYCLE_STATE_INCORRECT,
    NO_HKID_READY_TO_WBCACHE,
    OPERAND_BUSY,
    OPERAND_INVALID,
    PAGE_METADATA_INCORRECT,
    RCX,
    SUCCESS,
    TD_ASSOCIATED_PAGES_EXIST,
    WBCACHE,
    WBCACHE_RESUME_ERROR,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.key_table import Kot
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.td import Lifecycle
from tdxfuzz.sim import READ

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule

NON_LEAF = 1 << 63


@leaf(24)
def tdh_phymem_page_rdmd(m: TdxModule, call: Call) -> int:
    """What PAMT says of a page, or of a range. Source: tdh_phymem_page_rdmd.c."""
    regs, pamt = call.regs, m.pamt
    operand = regs.rcx
    regs.rcx = regs.rdx = regs.r8 = regs.r9 = regs.r10 = regs.r11 = 0

    level = operand & 7
    if operand & 0xFF8 or operand >> 52 or level > LEVEL_1G:
        raise Refused(OPERAND_INVALID | RCX)
    if not pamt.dynamic and level > LEVEL_4K:
        raise Refused(OPERAND_INVALID | RCX)
    hpa = operand & -SIZE_4K
    if hpa & (SIZE_4K << 9 * level) - 1 or hpa >> MAX_PA or hpa & m.hkid_mask:
        raise Refused(OPERAND_INVALID | RCX)
    block = block_of(m, hpa, RCX)

    walk = pamt.walk(hpa, block, SHARED, level)
    if walk is None:
        raise Refused(OPERAND_BUSY | RCX)
    call.hold(walk.release)

    entry = walk.entry
    m.sim.step(entry, READ)  # BEPOCH is written by RANGE.BLOCK with no PAMT lock held
    pt, owner, bepoch = int(entry.pt), entry.owner_hpa, entry.bepoch
    if pamt.dynamic and level == LEVEL_4K and pt == PT.NDA and block.tdmr.bitmap.test(hpa):
        regs.rcx = int(PT.PAMT)
    else:
        regs.rcx = pt
        if pt == PT.PAMT:
            regs.rcx |= NON_LEAF
            pair = pamt.variant.pair_of(RDMD_PAIR)
            for name, page in zip(pair, walk.node.backing, strict=True):
                setattr(regs, name, page.hpa)
        regs.r8 = walk.level
    if regs.rcx & 0x1F != PT.PAMT:
        regs.rdx = owner
    if pt in (PT.REG, PT.EPT):
        regs.r9 = bepoch
    return SUCCESS


@leaf(28)
def tdh_phymem_page_reclaim(m: TdxModule, call: Call) -> int:
    """Free a page of a TD in teardown. Source: tdh_phymem_page_reclaim.c."""
    regs, pamt = call.regs, m.pamt
    hpa = regs.rcx
    regs.rcx = regs.rdx = regs.r8 = regs.r9 = regs.r10 = regs.r11 = 0

    check_hpa(m, hpa, RCX)
    block = block_of(m, hpa, RCX)
    walk = pamt.walk(hpa, block, EXCLUSIVE)
    if walk is None:
        raise Refused(OPERAND_BUSY | RCX)
    call.hold(walk.release)
    entry = walk.entry
    if entry.pt in (PT.NDA, PT.RSVD):
        raise Refused(PAGE_METADATA_INCORRECT | RCX)

    regs.rcx = int(entry.pt)
    regs.rdx = entry.owner_hpa
    regs.r8 = walk.level
    if hpa & (SIZE_4K << 9 * walk.level) - 1:
        raise Refused(OPERAND_INVALID | RCX)

    if entry.pt != PT.TDR:
        tdr = lock_implicit_tdr(m, call, entry.owner_hpa, SHARED)
        if tdr.lifecycle is not Lifecycle.TEARDOWN:
            raise Refused(LIFECYCLE_STATE_INCORRECT)
        tdr.chldcnt.xadd(-m.pamt.split.pages_at(walk.level))
    else:
        tdr = m.tdr_at(hpa)
        if tdr.lifecycle is not Lifecycle.TEARDOWN:
            raise Refused(LIFECYCLE_STATE_INCORRECT)
        if tdr.chldcnt.value != 0:
            raise Refused(TD_ASSOCIATED_PAGES_EXIST)

    entry.pt = PT.NDA
    regs.r9 |= m.dec_page_count_and_get_hint(walk.entry_2m)
    m.watch.page_gone(hpa)
    return SUCCESS


@leaf(40)
def tdh_phymem_cache_wb(m: TdxModule, call: Call) -> int:
    """Write back the cache for all flushed HKIDs. Source: tdh_phymem_cache_wb.c."""
    command = call.regs.rcx
    if command > 1:
        raise Refused(OPERAND_INVALID | RCX)
    package = m.system.package_of(call.lp)
    writeback = m.keys.writeback[package]
    if not writeback.lock.acquire():
        raise Refused(OPERAND_BUSY | WBCACHE)
    call.hold(writeback.lock.release)
    if not m.keys.lock.acquire_sh():
        raise Refused(OPERAND_BUSY | KOT)
    call.hold(m.keys.lock.release_sh)

    if command == 0:
        writeback.intr_point = 0
        flushed = tuple(h for h, key in m.keys.entries.items() if key.state is Kot.FLUSHED)
        if not flushed:
            raise Refused(NO_HKID_READY_TO_WBCACHE)
        writeback.flushed = flushed
        sub_block = 0
    else:
        sub_block = writeback.intr_point
        if sub_block == 0:
            raise Refused(WBCACHE_RESUME_ERROR)

    while True:
        sub_block += 1
        if sub_block >= m.platform.cache_sub_blocks:
            break
        if call.lp.interrupt_pending:
            writeback.intr_point = sub_block
            return INTERRUPTED_RESUMABLE
    writeback.intr_point = 0
    for hkid in writeback.flushed:
        m.keys.entries[hkid].wbinvd_bitmap &= ~(1 << package)
    return SUCCESS


@leaf(41)
def tdh_phymem_page_wbinvd(m: TdxModule, call: Call) -> int:
    """Write back and invalidate a page that is not in use. Source: tdh_phymem_page_wbinvd.c."""
    hpa = call.regs.rcx & ~m.hkid_mask
    lock_page(m, call, hpa, RCX, SHARED, PT.NDA, any_level=True)
    return SUCCESS
