"""TDG.MEM.PAGE.ACCEPT, ATTR.RD and ATTR.WR: a guest and its own pages.

The lock bit of the S-EPT entry is all that guests and the host compete for here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_1G, LEVEL_2M, LEVEL_4K, SIZE_4K
from tdxfuzz.module.access import check_page_info, check_private_gpa
from tdxfuzz.module.codes import (
    OPERAND_INVALID,
    PAGE_ALREADY_ACCEPTED,
    PAGE_SIZE_MISMATCH,
    R8,
    RCX,
    RDX,
    SUCCESS,
)
from tdxfuzz.module.errors import LeafNotModelledError, Refused
from tdxfuzz.module.leaves.registry import tdcall
from tdxfuzz.module.sept_entry import ACCEPT_COUNT, accepted, is_leaf, state_of
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.module.tables import GUEST_SEPT_STATES
from tdxfuzz.module.td import MAX_L2_VMS
from tdxfuzz.module.td_exit import EPT_VIOLATION, Extended, TdExit, sept_violation

if TYPE_CHECKING:
    from tdxfuzz.module.call import GuestCall
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.module.sept import SeptEntry

PENDING = 1 << 62
"""In RCX: the page has yet to be accepted."""
ATTRIBUTE_BITS = 16
ATTRIBUTES = 0xFFFF
VALID = 1 << 15


@tdcall(6)
def tdg_mem_page_accept(m: TdxModule, call: GuestCall) -> int:
    """Accept a pending page, 4KB or 2MB. Source: tdg_mem_page_accept.c.

    An interrupt makes it leave a 2MB page halfway. Whether the entry is a leaf is looked
    at before it is locked, as in the source: where the host maps the page in between, the
    guest is told PAGE_SIZE_MISMATCH.
    """
    gpa, level = check_page_info(call.regs.rcx, LEVEL_4K, LEVEL_2M)
    entry, raw = walk(call, gpa, level)
    if entry.level != level:
        if state_of(raw) is SeptState.MAPPED:
            raise Refused(PAGE_ALREADY_ACCEPTED | entry.level)
        raise sept_violation(Extended.ACCEPT, gpa, level, entry.level, raw)
    was_leaf = is_leaf(raw)
    lock(call, entry)
    raw = entry.raw
    if state_of(raw) is not SeptState.FREE and not was_leaf:
        raise Refused(PAGE_SIZE_MISMATCH | level)
    if state_of(raw) is SeptState.MAPPED:
        raise Refused(PAGE_ALREADY_ACCEPTED | level)
    if state_of(raw) not in GUEST_SEPT_STATES[call.leaf]:
        call.let_go()
        raise sept_violation(Extended.ACCEPT, gpa, level, level, raw)

    if level == LEVEL_2M:
        raw = initialize(call, raw)
    entry.update(raw if call.interrupted else accepted(raw))
    return SUCCESS


def initialize(call: GuestCall, raw: int) -> int:
    """Zero the 4KB pages of a 2MB page that are left, up to an interrupt; the entry after."""
    while raw & ACCEPT_COUNT != ACCEPT_COUNT:
        raw += SIZE_4K
        if call.lp.interrupt_pending:
            call.interrupted = True
            return raw
    return raw & ~ACCEPT_COUNT


@tdcall(23)
def tdg_mem_page_attr_rd(m: TdxModule, call: GuestCall) -> int:
    """Level and attributes of the page at an address. Source: tdg_mem_page_attr_rd.c.

    The entry at which the walk ends is locked, whatever its level. L1 has no attributes,
    and no page has an L2 alias, so that RDX is 0.
    """
    regs, gpa = call.regs, call.regs.rcx
    regs.rcx = regs.rdx = 0
    entry, _ = walk(call, gpa, LEVEL_4K)
    lock(call, entry)
    raw = entry.raw
    if state_of(raw) not in GUEST_SEPT_STATES[call.leaf]:
        call.let_go()
        raise TdExit(EPT_VIOLATION, gpa=gpa)
    regs.rcx = gpa & -(SIZE_4K << 9 * entry.level) | entry.level
    if state_of(raw).is_pending:
        regs.rcx |= PENDING
    return SUCCESS


@tdcall(24)
def tdg_mem_page_attr_wr(m: TdxModule, call: GuestCall) -> int:
    """Write the L2 attributes of a page. Source: tdg_mem_page_attr_wr.c.

    Without an L2 VM to write them for, it only checks, and writes the entry back. Not
    modelled: attributes of L2 VMs.
    """
    regs = call.regs
    page_info, attributes, flags = regs.rcx, regs.rdx, regs.r8
    regs.rcx = regs.rdx = 0
    check_attributes(call, attributes, flags)
    gpa, level = check_page_info(page_info, LEVEL_4K, LEVEL_1G)
    entry, raw = walk(call, gpa, level)
    if entry.level != level:
        raise sept_violation(Extended.ATTR_WR, gpa, level, entry.level, raw)
    lock(call, entry)
    raw = entry.raw
    if not is_leaf(raw) and state_of(raw) is not SeptState.FREE:
        raise Refused(PAGE_SIZE_MISMATCH | level)
    if state_of(raw) not in GUEST_SEPT_STATES[call.leaf]:
        call.let_go()
        raise sept_violation(Extended.ATTR_WR, gpa, level, level, raw)

    entry.update(raw)
    regs.rcx = page_info
    if state_of(raw).is_pending:
        regs.rcx |= PENDING
    return SUCCESS


def check_attributes(call: GuestCall, attributes: int, flags: int) -> None:
    """16 bits for each VM: of L1, and of L2 VMs that are not there, all have to be 0."""
    for vm in range(MAX_L2_VMS + 1):
        wanted = attributes >> ATTRIBUTE_BITS * vm & ATTRIBUTES
        if vm == 0 or vm > call.tdr.tdcs.num_l2_vms:
            if wanted:
                raise Refused(OPERAND_INVALID | RDX)
            if flags >> ATTRIBUTE_BITS * vm & ATTRIBUTES:
                raise Refused(OPERAND_INVALID | R8)
        elif wanted & VALID:
            raise LeafNotModelledError(f"TDG.MEM.PAGE.ATTR.WR is not modelled for L2 VM {vm}")
        elif wanted:
            raise Refused(OPERAND_INVALID | RDX)


def walk(call: GuestCall, gpa: int, level: int) -> tuple[SeptEntry, int]:
    """The entry of a private address, or where the walk to it ends; and its value."""
    tdcs = call.tdr.tdcs
    check_private_gpa(tdcs, gpa)
    assert tdcs.sept is not None
    return tdcs.sept.walk_guest(gpa, level)


def lock(call: GuestCall, entry: SeptEntry) -> None:
    """Lock an entry for the call, or give up (operand RCX)."""
    busy = entry.lock_guest()
    if busy:
        raise Refused(busy | RCX)
    call.hold(entry.unlock)
