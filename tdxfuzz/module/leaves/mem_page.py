"""TDH.MEM.PAGE.ADD, AUG, REMOVE, RELOCATE: guest pages come, move and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, LEVEL_4K, MAX_PA, SIZE_4K, pfn_of
from tdxfuzz.module.access import (
    check_page_info,
    check_private_gpa,
    check_shared_hpa,
    check_tracked,
    is_tracking_required,
    lock_free_page,
    lock_implicit,
    lock_page,
    lock_sept_entry,
    lock_tdr,
    map_tdcs,
    report_entry,
)
from tdxfuzz.module.codes import (
    EPT_ENTRY_STATE_INCORRECT,
    EPT_WALK_FAILED,
    GPA_RANGE_NOT_BLOCKED,
    OPERAND_INVALID,
    R8,
    R9,
    RCX,
    RDX,
    SUCCESS,
)
from tdxfuzz.module.errors import ModuleFatal, Refused
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.sept_entry import (
    BASE,
    INIT_VALUE,
    RWX,
    TDEL,
    is_leaf,
    leaf_value,
    state_of,
    unblocked,
    without_accept_count,
)
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.module.tables import SEPT_STATES
from tdxfuzz.sim import WRITE

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.module.pamt import PamtEntry
    from tdxfuzz.module.td import Tdcs


@leaf(2)
def tdh_mem_page_add(m: TdxModule, call: Call) -> int:
    """Add a measured 4KB page while the TD is built. Source: tdh_mem_page_add.c.

    The TDR is held exclusive, which stands in for the S-EPT locks.
    """
    regs = call.regs
    page_info, tdr_hpa, hpa = regs.rcx, regs.rdx, regs.r8
    regs.rcx = regs.rdx = 0
    tdr = lock_tdr(m, call, tdr_hpa, RDX, EXCLUSIVE)
    tdcs = map_tdcs(m, call, tdr, lock=False)
    gpa, level = check_page_info(page_info, LEVEL_4K, LEVEL_4K)
    check_private_gpa(tdcs, gpa)
    assert tdcs.sept is not None
    entry, raw = tdcs.sept.walk(gpa, level)
    if entry.level != level:
        report_entry(m, call, raw, entry.level)
        raise Refused(EPT_WALK_FAILED | RCX)
    check_sept_state(m, call, raw, level)
    check_shared_hpa(m, regs.r9, R9, SIZE_4K)

    walk = lock_page(m, call, hpa, R8, EXCLUSIVE, PT.NDA)
    if entry.raw & TDEL:
        raise ModuleFatal(229, f"{entry.name} is locked, though the TDR is held exclusive")
    pa = m.platform.key_bits.assign(hpa, tdr.hkid)
    m.memory.overwrite(hpa)
    m.sim.step(entry, WRITE)
    entry.raw = leaf_value(pa, SeptState.MAPPED, RWX)
    tdr.chldcnt.value += 1
    set_regular(m, walk.entry, tdr_hpa)
    m.pamt.count_up(walk)
    return SUCCESS


@leaf(6)
def tdh_mem_page_aug(m: TdxModule, call: Call) -> int:
    """Map a page the guest has yet to accept, 4KB or 2MB. Source: tdh_mem_page_aug.c."""
    regs = call.regs
    page_info, tdr_hpa, hpa = regs.rcx, regs.rdx, regs.r8
    regs.rcx = regs.rdx = 0
    tdr = lock_tdr(m, call, tdr_hpa, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    gpa, level = check_page_info(page_info, LEVEL_4K, LEVEL_2M)
    _, entry = lock_sept_entry(m, call, tdcs, gpa, level)
    check_sept_state(m, call, entry.raw, level)
    walk = lock_free_page(m, call, hpa, R8, level)

    # The compare-exchange also drops the entry's lock, before PAMT knows of the page.
    pa = m.platform.key_bits.assign(hpa, tdr.hkid)
    entry.update(leaf_value(pa, SeptState.PENDING, rwx=0))
    call.forget(entry.unlock)
    tdr.chldcnt.xadd(m.pamt.split.pages_at(level))
    m.sim.step(walk.entry, WRITE)
    set_regular(m, walk.entry, tdr_hpa)
    m.pamt.count_up(walk)
    return SUCCESS


@leaf(29)
def tdh_mem_page_remove(m: TdxModule, call: Call) -> int:
    """Unmap and free a guest page. Source: tdh_mem_page_remove.c.

    The order matters: S-EPT entry, CHLDCNT, page type, page count, and only then the
    lock of the 4KB entry, which lies in the range's backing page.
    """
    regs = call.regs
    page_info, tdr_hpa = regs.rcx, regs.rdx
    regs.rcx = regs.rdx = 0
    tdr = lock_tdr(m, call, tdr_hpa, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    gpa, level = check_page_info(page_info, LEVEL_4K, LEVEL_1G)
    _, entry = lock_sept_entry(m, call, tdcs, gpa, level)
    raw = entry.raw
    if not is_leaf(raw):
        report_entry(m, call, raw, level)
        raise Refused(EPT_ENTRY_STATE_INCORRECT | RCX)
    check_sept_state(m, call, raw, level)
    raw = without_accept_count(raw, level)
    hpa = m.platform.key_bits.strip(raw & BASE)
    page, node = lock_implicit(m, call, hpa, RCX, EXCLUSIVE, level)
    check_blocked_and_tracked(m, call, tdcs, raw, level, page)

    entry.update(INIT_VALUE)
    call.forget(entry.unlock)
    tdr.chldcnt.xadd(-m.pamt.split.pages_at(level))
    m.sim.step(page, WRITE)
    page.pt = PT.NDA
    regs.rcx = hpa | m.dec_page_count_and_get_hint(node if level == LEVEL_4K else None)
    return SUCCESS


@leaf(5)
def tdh_mem_page_relocate(m: TdxModule, call: Call) -> int:
    """Move a guest page to another physical page. Source: tdh_mem_page_relocate.c."""
    regs = call.regs
    page_info, tdr_hpa, new_hpa = regs.rcx, regs.rdx, regs.r8
    regs.rcx = regs.rdx = 0
    tdr = lock_tdr(m, call, tdr_hpa, RDX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    gpa, level = check_page_info(page_info, LEVEL_4K, LEVEL_4K)
    _, entry = lock_sept_entry(m, call, tdcs, gpa, level)
    raw = entry.raw
    check_sept_state(m, call, raw, level)
    old_hpa = m.platform.key_bits.strip(raw & BASE)
    if old_hpa == new_hpa & (1 << MAX_PA) - 1:  # only the address bits are compared
        raise Refused(OPERAND_INVALID | R8)
    old, node = lock_implicit(m, call, old_hpa, RCX, EXCLUSIVE)
    check_blocked_and_tracked(m, call, tdcs, raw, level, old)
    walk = lock_page(m, call, new_hpa, R8, EXCLUSIVE, PT.NDA)

    if not state_of(raw).is_pending:
        m.memory.overwrite(new_hpa)
    m.sim.step(old, WRITE)
    old.pt = PT.NDA
    set_regular(m, walk.entry, tdr_hpa)
    m.pamt.count_up(walk)
    pa = m.platform.key_bits.assign(new_hpa, tdr.hkid)
    entry.update(unblocked(raw & ~BASE | pa))
    regs.rcx = old_hpa | m.dec_page_count_and_get_hint(node)
    return SUCCESS


def check_sept_state(m: TdxModule, call: Call, raw: int, level: int) -> None:
    """The entry's state allows this leaf; if not, report the entry."""
    if state_of(raw) not in SEPT_STATES[call.leaf]:
        report_entry(m, call, raw, level)
        raise Refused(EPT_ENTRY_STATE_INCORRECT | RCX)


def check_blocked_and_tracked(
    m: TdxModule, call: Call, tdcs: Tdcs, raw: int, level: int, page: PamtEntry
) -> None:
    """If the TD may be running: the entry is blocked, and the TLB tracked since."""
    if not is_tracking_required(tdcs):
        return
    if not state_of(raw).is_blocked:
        report_entry(m, call, raw, level)
        raise Refused(GPA_RANGE_NOT_BLOCKED | RCX)
    check_tracked(tdcs, page)


def set_regular(m: TdxModule, entry: PamtEntry, tdr_hpa: int) -> None:
    """A page becomes a guest page of a TD, never blocked since."""
    entry.pt = PT.REG
    entry.owner = pfn_of(tdr_hpa)
    entry.bepoch = 0
