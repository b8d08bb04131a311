"""TDH.MNG.CREATE, ADDCX and INIT: a TD is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tdxfuzz.abi.address import pfn_of
from tdxfuzz.module.access import check_shared_hpa, lock_page, lock_tdr, map_tdcs
from tdxfuzz.module.codes import (
    HKID_NOT_FREE,
    KOT,
    OP_STATE_INCORRECT,
    OPERAND_BUSY,
    OPERAND_INVALID,
    RCX,
    RDX,
    SUCCESS,
    TD_KEYS_NOT_CONFIGURED,
    TDCX_NUM_INCORRECT,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.key_table import Kot
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE
from tdxfuzz.module.pamt import PT
from tdxfuzz.module.sept import SecureEpt, SeptPage
from tdxfuzz.module.sept_l2 import L2_FREE, L2SecureEpt
from tdxfuzz.module.td import (
    DEFAULT_HP_LOCK_TIMEOUT_USEC,
    L2_SEPT_ROOT_PAGE_INDEX,
    MAX_TDCS_PAGES,
    MIN_TDCS_PAGES,
    SEPT_ROOT_PAGE_INDEX,
    Lifecycle,
    OpState,
    TdcxPage,
    Tdr,
)
from tdxfuzz.module.td_params import PARAMS_SIZE, TdParams, configure

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule

Tree = TypeVar("Tree", bound=SecureEpt)


@leaf(9)
def tdh_mng_create(m: TdxModule, call: Call) -> int:
    """Make a page the TDR of a new TD, with an HKID. Source: tdh_mng_create.c."""
    regs = call.regs
    hkid = regs.rdx
    if hkid not in m.keys.entries:
        raise Refused(OPERAND_INVALID | RDX)

    walk = lock_page(m, call, regs.rcx, RCX, EXCLUSIVE, PT.NDA)
    if not m.keys.lock.acquire_ex():
        raise Refused(OPERAND_BUSY | KOT)
    call.hold(m.keys.lock.release_ex)
    key = m.keys.entries[hkid]
    if key.state is not Kot.FREE:
        raise Refused(HKID_NOT_FREE)

    key.state = Kot.ASSIGNED
    m.memory.put(Tdr(m.sim, regs.rcx, hkid))
    walk.entry.pt = PT.TDR
    walk.entry.owner = 0
    m.pamt.count_up(walk)
    return SUCCESS


@leaf(1)
def tdh_mng_addcx(m: TdxModule, call: Call) -> int:
    """Add a page to a TD's TDCS. Source: tdh_mng_add_cx.c."""
    regs = call.regs
    tdr = lock_tdr(m, call, regs.rdx, RDX, EXCLUSIVE)
    if tdr.lifecycle is not Lifecycle.KEYS_CONFIGURED:
        raise Refused(TD_KEYS_NOT_CONFIGURED)
    index = tdr.num_tdcx
    if index >= MAX_TDCS_PAGES:
        raise Refused(TDCX_NUM_INCORRECT)

    walk = lock_page(m, call, regs.rcx, RCX, EXCLUSIVE, PT.NDA)
    if index + 1 > MIN_TDCS_PAGES and tdr.tdcs.op_state is not OpState.UNINITIALIZED:
        raise Refused(OP_STATE_INCORRECT | tdr.tdcs.op_state)

    if index == SEPT_ROOT_PAGE_INDEX:
        m.memory.put(SeptPage(regs.rcx))
    elif index >= L2_SEPT_ROOT_PAGE_INDEX:
        m.memory.put(SeptPage(regs.rcx, fill=L2_FREE))
    else:
        m.memory.put(TdcxPage(regs.rcx))
    tdr.tdcx.append(regs.rcx)
    tdr.num_tdcx = index + 1
    tdr.chldcnt.value += 1
    walk.entry.pt = PT.TDCX
    walk.entry.owner = pfn_of(regs.rdx)
    m.pamt.count_up(walk)
    return SUCCESS


@leaf(21)
def tdh_mng_init(m: TdxModule, call: Call) -> int:
    """Initialise TDCS from TD_PARAMS. Source: tdh_mng_init.c.

    Not modelled: event filters, CPUID and IA32_ARCH_CAPABILITIES configuration.
    """
    regs = call.regs
    tdr_hpa, params_hpa = regs.rcx & ~1, regs.rdx
    regs.rcx = 0

    tdr = lock_tdr(m, call, tdr_hpa, RCX, EXCLUSIVE)
    tdcs = map_tdcs(m, call, tdr, lock=False)
    check_shared_hpa(m, params_hpa, RDX, PARAMS_SIZE)

    tdcs.num_vcpus = tdcs.num_assoc_vcpus = 0
    tdcs.td_epoch.value = 1
    tdcs.hp_lock_timeout.value = m.platform.tsc_ticks(DEFAULT_HP_LOCK_TIMEOUT_USEC)
    configure(m, tdr, TdParams.read(m.memory, params_hpa))

    tdcs.sept = _tree(m, tdr, SecureEpt, SEPT_ROOT_PAGE_INDEX)
    tdcs.l2_septs = tuple(
        _tree(m, tdr, L2SecureEpt, L2_SEPT_ROOT_PAGE_INDEX + i) for i in range(tdcs.num_l2_vms)
    )
    tdcs.build_in_progress = True
    m.td_build_count.xadd(1)
    tdcs.op_state = OpState.INITIALIZED
    return SUCCESS


def _tree(m: TdxModule, tdr: Tdr, kind: type[Tree], index: int) -> Tree:
    """An S-EPT whose root is a TDCX page."""
    root = m.memory.at(tdr.tdcx[index])
    assert isinstance(root, SeptPage)
    return kind(m.sim, m.memory, m.platform, tdr.hpa, root, tdr.tdcs.levels)
