"""How leaves reach pages: explicit operands checked and locked, implicit ones locked.

Each function takes locks on behalf of a call and leaves the release with it. Source:
src/common/helpers/helpers.c, in the order of its checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_2M, LEVEL_4K, MAX_PA, SIZE_4K
from tdxfuzz.module.codes import (
    EPT_WALK_FAILED,
    INTERRUPTED_BUSY,
    INTERRUPTED_RESTARTABLE,
    INTERRUPTED_RESUMABLE,
    MISSING_PAMT_PAGE_PAIR,
    OP_STATE,
    OP_STATE_INCORRECT,
    OPERAND_ADDR_RANGE_ERROR,
    OPERAND_BUSY,
    OPERAND_INVALID,
    PAGE_METADATA_INCORRECT,
    RCX,
    SEPT_TREE,
    TD_KEYS_NOT_CONFIGURED,
    TDCS_NOT_ALLOCATED,
    TDR,
    TLB_TRACKING_NOT_DONE,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.pamt import PT, Block, Pamt2M, PamtEntry, Walk
from tdxfuzz.module.sept_entry import details
from tdxfuzz.module.tables import OP_STATES, TLB_TRACKING_REQUIRED
from tdxfuzz.module.td import MIN_TDCS_PAGES, Lifecycle, Tdcs, Tdr
from tdxfuzz.module.variants import OP_STATE as OP_STATE_LOCK
from tdxfuzz.module.variants import PAGE
from tdxfuzz.module.variants import SEPT_TREE as SEPT_TREE_LOCK
from tdxfuzz.module.variants import TDR as TDR_PAGE
from tdxfuzz.sim import READ

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.module.sept import SecureEpt, SeptEntry


def check_hpa(m: TdxModule, hpa: int, operand: int, size: int = SIZE_4K) -> None:
    """Aligned, no HKID bits, below 2^52 (hpa_check_with_pwr_2_alignment)."""
    if hpa & (size - 1) or hpa & m.hkid_mask or hpa >> MAX_PA:
        raise Refused(OPERAND_INVALID | operand)


def block_of(m: TdxModule, hpa: int, operand: int) -> Block:
    """The PAMT block of a page that an operand names (pamt_get_block)."""
    block = m.pamt.block_of(hpa)
    if block is None:
        raise Refused(OPERAND_ADDR_RANGE_ERROR | operand)
    return block


def lock_page(
    m: TdxModule,
    call: Call,
    hpa: int,
    operand: int,
    mode: str,
    expected: PT,
    level: int = LEVEL_4K,
    any_level: bool = False,
) -> Walk:
    """An explicit page operand: checked, its PAMT entry locked and of the expected type.

    check_and_lock_explicit_private_hpa and non_shared_hpa_metadata_check_and_lock; with
    ``any_level`` a walk that ends above ``level`` will do.
    """
    check_hpa(m, hpa, operand, SIZE_4K << 9 * level)
    pamt = m.pamt
    if m.variant.modes:
        mode = m.variant.mode(call.leaf, TDR_PAGE if expected is PT.TDR else PAGE, mode)
    block = block_of(m, hpa, operand)
    walk = pamt.walk(hpa, block, mode, level)
    if walk is None:
        raise Refused(OPERAND_BUSY | operand)
    if walk.level != level and not any_level:
        unpaired = (
            pamt.dynamic
            and walk.level == LEVEL_2M
            and walk.entry.pt == PT.NDA
            and expected == PT.NDA
        )
        walk.release()
        raise Refused((MISSING_PAMT_PAGE_PAIR if unpaired else PAGE_METADATA_INCORRECT) | operand)
    if walk.entry.pt != expected or (
        pamt.dynamic and expected == PT.NDA and block.tdmr.bitmap.test(hpa)
    ):
        walk.release()
        raise Refused(PAGE_METADATA_INCORRECT | operand)
    call.hold(walk.release)
    return walk


def lock_free_page(m: TdxModule, call: Call, hpa: int, operand: int, level: int = LEVEL_4K) -> Walk:
    """A page, or a 2MB range, that is entirely free (check_and_lock_free_range_hpa)."""
    walk = lock_page(m, call, hpa, operand, EXCLUSIVE, PT.NDA, level)
    if level == LEVEL_2M:
        block = m.pamt.blocks[hpa >> 30]
        if not m.pamt.is_2m_range_free(hpa, block):
            call.let_go()
            raise Refused(PAGE_METADATA_INCORRECT | operand)
    return walk


def lock_tdr(m: TdxModule, call: Call, hpa: int, operand: int, mode: str) -> Tdr:
    """The TDR page an operand names (check_lock_and_map_explicit_tdr)."""
    lock_page(m, call, hpa, operand, mode, PT.TDR)
    return m.tdr_at(hpa)


def lock_implicit_tdr(m: TdxModule, call: Call, hpa: int, mode: str) -> Tdr:
    """The TDR that owns a page: only its own entry is locked (lock_and_map_implicit_tdr)."""
    if m.variant.modes:
        mode = m.variant.mode(call.leaf, TDR_PAGE, mode)
    lock_implicit(m, call, hpa, TDR, mode)
    return m.tdr_at(hpa)


def lock_implicit(
    m: TdxModule, call: Call, hpa: int, operand: int, mode: str = EXCLUSIVE, level: int = LEVEL_4K
) -> tuple[PamtEntry, Pamt2M]:
    """A page that a structure points to: its entry locked, nothing above it.

    pamt_implicit_get_with_nl_entry_and_lock. The release checks that the page which
    holds the entry still belongs to the module.
    """
    entry, node = m.pamt.implicit(hpa, level)
    if not (entry.acquire_ex() if mode == EXCLUSIVE else entry.acquire_sh()):
        raise Refused(OPERAND_BUSY | operand)
    release = entry.release_ex if mode == EXCLUSIVE else entry.release_sh
    if not (m.pamt.dynamic and level == LEVEL_4K):
        call.hold(release)
        return entry, node
    backing = m.pamt.backing_of(hpa, node)

    def release_in_backing_page() -> None:
        release()
        # Still the same instant: the next step is somebody else's chance, not this line.
        if not backing.owned:
            m.touched_page_given_back(backing.hpa, entry.name)
        if entry.pt == PT.NDA:
            m.watch.page_gone(hpa)

    call.hold(release_in_backing_page)
    return entry, node


def map_tdcs(m: TdxModule, call: Call, tdr: Tdr, lock: bool = True) -> Tdcs:
    """TDCS in a state that allows this leaf (check_state_map_tdcs_and_lock)."""
    if tdr.lifecycle is not Lifecycle.KEYS_CONFIGURED:
        raise Refused(TD_KEYS_NOT_CONFIGURED)
    if tdr.num_tdcx < MIN_TDCS_PAGES:
        raise Refused(TDCS_NOT_ALLOCATED)
    tdcs = tdr.tdcs
    if lock and m.variant.mode(call.leaf, OP_STATE_LOCK, SHARED) == EXCLUSIVE:
        return _map_tdcs_exclusive(call, tdcs)
    if lock and not tdcs.op_state_lock.acquire_sh():
        raise Refused(OPERAND_BUSY | OP_STATE)
    if tdcs.op_state not in OP_STATES[call.leaf]:
        if lock:
            tdcs.op_state_lock.release_sh()
        raise Refused(OP_STATE_INCORRECT | tdcs.op_state)
    if lock:
        call.hold(tdcs.op_state_lock.release_sh)
    return tdcs


def _map_tdcs_exclusive(call: Call, tdcs: Tdcs) -> Tdcs:
    """The same under a variant in which the leaf takes the state exclusive."""
    if not tdcs.op_state_lock.acquire_ex():
        raise Refused(OPERAND_BUSY | OP_STATE)
    call.hold(tdcs.op_state_lock.release_ex)
    if tdcs.op_state not in OP_STATES[call.leaf]:
        raise Refused(OP_STATE_INCORRECT | tdcs.op_state)
    return tdcs


def check_page_info(info: int, low: int, high: int) -> tuple[int, int]:
    """GPA and level of an operand (verify_page_info_input, operand RCX)."""
    level = info & 7
    gpa = info & 0x000F_FFFF_FFFF_F000
    if info & 0xFF8 or info >> 52 or not low <= level <= high or gpa & (SIZE_4K << 9 * level) - 1:
        raise Refused(OPERAND_INVALID | RCX)
    return gpa, level


def check_private_gpa(tdcs: Tdcs, gpa: int) -> None:
    """A private GPA within the TD's width (check_gpa_validity, operand RCX)."""
    shared_bit = 1 << tdcs.gpa_width - 1
    too_high = -1 << min(tdcs.virt_max_pa, tdcs.gpa_width)
    if gpa & shared_bit or gpa & too_high & ~shared_bit:
        raise Refused(OPERAND_INVALID | RCX)


def lock_sept_and_walk(
    m: TdxModule, call: Call, tdcs: Tdcs, gpa: int, level: int, mode: str
) -> tuple[SecureEpt, SeptEntry, int]:
    """Lock the S-EPT tree and find an entry (lock_sept_check_and_walk_private_gpa).

    A walk that ends above ``level`` reports where in RCX and RDX.
    """
    check_private_gpa(tdcs, gpa)
    sept = tdcs.sept
    assert sept is not None
    tree = tdcs.secure_ept_lock
    if m.variant.modes:
        mode = m.variant.mode(call.leaf, SEPT_TREE_LOCK, mode)
    if not (tree.acquire_ex() if mode == EXCLUSIVE else tree.acquire_sh()):
        raise Refused(OPERAND_BUSY | SEPT_TREE)
    entry, raw = sept.walk(gpa, level)
    call.hold(tree.release_ex if mode == EXCLUSIVE else tree.release_sh)
    if entry.level != level:
        report_entry(m, call, raw, entry.level)
        raise Refused(EPT_WALK_FAILED | RCX)
    return sept, entry, raw


def lock_sept_entry(
    m: TdxModule, call: Call, tdcs: Tdcs, gpa: int, level: int, mode: str = SHARED
) -> tuple[SecureEpt, SeptEntry]:
    """Walk to an entry and lock it (sept_lock_acquire_host); if busy, report it."""
    sept, entry, raw = lock_sept_and_walk(m, call, tdcs, gpa, level, mode)
    if not entry.lock_host():
        report_entry(m, call, raw, level)
        raise Refused(OPERAND_BUSY | RCX)
    call.hold(entry.unlock)
    return sept, entry


def report_entry(m: TdxModule, call: Call, raw: int, level: int) -> None:
    """Put an entry's details in RCX and RDX (set_arch_septe_details_in_vmm_regs)."""
    call.regs.rcx, call.regs.rdx = details(raw, level, m.platform)


def check_tracked(tdcs: Tdcs, entry: PamtEntry) -> None:
    """The TLB was tracked since the range was blocked (is_tlb_tracked, operand RCX)."""
    epoch = tdcs.td_epoch
    if entry.bepoch >= tdcs.td_epoch.read():
        raise Refused(TLB_TRACKING_NOT_DONE | RCX)
    # Part of the same load: no vCPU runs that was entered before the range was blocked.
    if entry.bepoch == epoch.value - 1 and epoch.refcount[entry.bepoch & 1]:
        raise Refused(TLB_TRACKING_NOT_DONE | RCX)


def is_tracking_required(tdcs: Tdcs) -> bool:
    """The TD may be running, so a mapping must be blocked and tracked before it goes."""
    return tdcs.op_state in TLB_TRACKING_REQUIRED


def check_interrupt(m: TdxModule, call: Call, tdcs: Tdcs, given: tuple[int, int]) -> None:
    """check_host_interrupt_and_hp_bit: give up with RCX and RDX as they came."""
    if call.lp.interrupt_pending:
        call.regs.rcx, call.regs.rdx = given
        raise Refused(INTERRUPTED_RESTARTABLE)
    _check_host_priority(m, call, tdcs, given)


def check_interrupt_resumable(m: TdxModule, call: Call, tdcs: Tdcs, given: tuple[int, int]) -> None:
    """The same for a call that has done a part of its work, and can go on from there."""
    if call.lp.interrupt_pending:
        call.regs.rcx, call.regs.rdx = given
        raise Refused(INTERRUPTED_RESUMABLE)
    _check_host_priority(m, call, tdcs, given)


def _check_host_priority(m: TdxModule, call: Call, tdcs: Tdcs, given: tuple[int, int]) -> None:
    m.sim.step(tdcs.secure_ept_lock, READ)
    if tdcs.secure_ept_lock.host_priority:
        call.regs.rcx, call.regs.rdx = given
        raise Refused(INTERRUPTED_BUSY)


def check_shared_hpa(m: TdxModule, hpa: int, operand: int, size: int) -> None:
    """Memory of the host's: aligned, below 2^52, no private HKID.

    shared_hpa_check_with_pwr_2_alignment; where SEAMRR lies is not modelled.
    """
    if (
        hpa & (size - 1)
        or hpa >> MAX_PA
        or m.platform.key_bits.hkid_of(hpa) >= m.platform.private_hkid_min
    ):
        raise Refused(OPERAND_INVALID | operand)


def write_shared(m: TdxModule, hpa: int, content: bytes) -> None:
    """A leaf answers in memory of the host's; a page that the module uses stays as it is.

    In truth such a page is corrupt, as after any write of the host's without its key, and
    the module's next look at it a machine check. Memory integrity is not modelled.
    """
    if not m.pamt.is_taken(hpa):
        m.memory.write(hpa, content)
