"""TDH.MEM.RANGE.BLOCK, UNBLOCK and TDH.MEM.TRACK: before a mapping may go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_4K
from tdxfuzz.module import sept_l2
from tdxfuzz.module.access import (
    check_page_info,
    check_tracked,
    is_tracking_required,
    lock_sept_entry,
    lock_tdr,
    map_tdcs,
    report_entry,
)
from tdxfuzz.module.access_l2 import l2_alias_of, store_l2
from tdxfuzz.module.codes import (
    EPT_ENTRY_STATE_INCORRECT,
    GPA_RANGE_ALREADY_BLOCKED,
    OPERAND_BUSY,
    PREVIOUS_TLB_EPOCH_BUSY,
    RCX,
    RDX,
    SUCCESS,
    TD_EPOCH,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.leaves.mem_page import check_sept_state
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.sept_entry import (
    BASE,
    TDEL,
    blocked,
    is_leaf,
    state_of,
    unblocked,
    without_accept_count,
)
from tdxfuzz.module.tables import SEPT_STATES
from tdxfuzz.sim import WRITE

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule


@leaf(7)
def tdh_mem_range_block(m: TdxModule, call: Call) -> int:
    """No new translations of a range. Source: tdh_mem_range_block.c.

    BEPOCH goes into the page's PAMT entry without any PAMT lock, and TD_EPOCH is read
    after the entry was blocked. So are its L2 aliases.
    """
    regs = call.regs
    page_info, tdr_hpa = regs.rcx, regs.rdx
    regs.rcx = regs.rdx = 0
    tdr = lock_tdr(m, call, tdr_hpa, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    gpa, level = check_page_info(page_info, LEVEL_4K, tdcs.levels - 1)
    _, entry = lock_sept_entry(m, call, tdcs, gpa, level, EXCLUSIVE)
    raw = entry.raw
    if state_of(raw) not in SEPT_STATES[call.leaf]:
        report_entry(m, call, raw, level)
        if state_of(raw).is_blocked:
            raise Refused(GPA_RANGE_ALREADY_BLOCKED | RCX)
        raise Refused(EPT_ENTRY_STATE_INCORRECT | RCX)

    entry.update(blocked(without_accept_count(raw, level)))
    for vm in sept_l2.aliases(raw, tdcs.num_l2_vms):
        l2_entry = l2_alias_of(tdcs, vm, gpa, level, fatal_id=11)
        store_l2(m, l2_entry, sept_l2.blocked(l2_entry.raw))
    hpa = m.platform.key_bits.strip(raw & BASE)
    page, _ = m.pamt.implicit(hpa, level if is_leaf(raw) else LEVEL_4K)
    epoch = tdcs.td_epoch.read()
    m.sim.step(page, WRITE)
    page.bepoch = epoch
    return SUCCESS


@leaf(39)
def tdh_mem_range_unblock(m: TdxModule, call: Call) -> int:
    """Make a blocked range usable again. Source: tdh_mem_range_unblock.c."""
    regs = call.regs
    page_info, tdr_hpa = regs.rcx, regs.rdx
    regs.rcx = regs.rdx = 0
    tdr = lock_tdr(m, call, tdr_hpa, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    gpa, level = check_page_info(page_info, LEVEL_4K, tdcs.levels - 1)
    _, entry = lock_sept_entry(m, call, tdcs, gpa, level, EXCLUSIVE)
    raw = entry.raw
    check_sept_state(m, call, raw, level)
    if is_tracking_required(tdcs):
        hpa = m.platform.key_bits.strip(raw & BASE)
        page, _ = m.pamt.implicit(hpa, level if is_leaf(raw) else LEVEL_4K)
        check_tracked(tdcs, page)

    for vm in sept_l2.aliases(raw, tdcs.num_l2_vms):
        l2_entry = l2_alias_of(tdcs, vm, gpa, level, fatal_id=13)
        store_l2(m, l2_entry, sept_l2.unblocked(l2_entry.raw))
    entry.update(unblocked(raw) & ~TDEL)
    call.forget(entry.unlock)
    return SUCCESS


@leaf(38)
def tdh_mem_track(m: TdxModule, call: Call) -> int:
    """Start a new TLB epoch, once no vCPU runs in the previous one. Source: tdh_mem_track.c."""
    tdr = lock_tdr(m, call, call.regs.rcx, RCX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    if not tdcs.epoch_lock.acquire_ex():
        raise Refused(OPERAND_BUSY | TD_EPOCH)
    call.hold(tdcs.epoch_lock.release_ex)
    if tdcs.td_epoch.is_previous_in_use():
        raise Refused(PREVIOUS_TLB_EPOCH_BUSY)
    tdcs.td_epoch.write(tdcs.td_epoch.value + 1)
    return SUCCESS
