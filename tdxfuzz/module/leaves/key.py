"""TDH.MNG.KEY.* and VPFLUSHDONE: a TD gets its key, and gives its HKID back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.module.access import lock_tdr
from tdxfuzz.module.codes import (
    FLUSHVP_NOT_DONE,
    KEY_CONFIGURED,
    KOT,
    LIFECYCLE_STATE_INCORRECT,
    OPERAND_BUSY,
    RCX,
    SUCCESS,
    WBCACHE_NOT_COMPLETE,
)
from tdxfuzz.module.errors import ModuleFatal, Refused
from tdxfuzz.module.key_table import Kot
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE
from tdxfuzz.module.td import MIN_TDCS_PAGES, Lifecycle, OpState

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule


@leaf(8)
def tdh_mng_key_config(m: TdxModule, call: Call) -> int:
    """Program the TD's key on the caller's package. Source: tdh_mng_key_config.c.

    Not modelled: PCONFIG's own failures (BUSY on the key engine, no entropy).
    """
    tdr = lock_tdr(m, call, call.regs.rcx, RCX, EXCLUSIVE)
    if tdr.lifecycle is not Lifecycle.HKID_ASSIGNED:
        raise Refused(LIFECYCLE_STATE_INCORRECT)
    package = m.system.package_of(call.lp)
    if tdr.pkg_config_bitmap >> package & 1:
        raise Refused(KEY_CONFIGURED)
    tdr.pkg_config_bitmap |= 1 << package
    if tdr.pkg_config_bitmap == m.all_packages:
        tdr.lifecycle = Lifecycle.KEYS_CONFIGURED
    return SUCCESS


@leaf(19)
def tdh_mng_vpflushdone(m: TdxModule, call: Call) -> int:
    """No vCPU is associated any more: block the TD. Source: tdh_mng_vpflushdone.c."""
    tdr = lock_tdr(m, call, call.regs.rcx, RCX, EXCLUSIVE)
    if not m.keys.lock.acquire_ex():
        raise Refused(OPERAND_BUSY | KOT)
    call.hold(m.keys.lock.release_ex)
    if tdr.lifecycle not in (Lifecycle.KEYS_CONFIGURED, Lifecycle.HKID_ASSIGNED):
        raise Refused(LIFECYCLE_STATE_INCORRECT)
    if tdr.num_tdcx >= MIN_TDCS_PAGES:
        tdcs = tdr.tdcs
        if tdcs.op_state is not OpState.UNINITIALIZED and tdcs.num_assoc_vcpus != 0:
            raise Refused(FLUSHVP_NOT_DONE)
        if tdcs.build_in_progress:
            tdcs.build_in_progress = False
            if m.td_build_count.xadd(-1) <= 0:
                raise ModuleFatal(364, "TD_BUILD_COUNT below zero")

    key = m.keys.entries[tdr.hkid]
    key.wbinvd_bitmap = m.all_packages
    tdr.lifecycle = Lifecycle.BLOCKED
    key.state = Kot.FLUSHED
    return SUCCESS


@leaf(20)
def tdh_mng_key_freeid(m: TdxModule, call: Call) -> int:
    """The caches are written back: the HKID is free again. Source: tdh_mng_key_freeid.c."""
    tdr = lock_tdr(m, call, call.regs.rcx, RCX, EXCLUSIVE)
    if tdr.lifecycle is not Lifecycle.BLOCKED:
        raise Refused(LIFECYCLE_STATE_INCORRECT)
    if not m.keys.lock.acquire_ex():
        raise Refused(OPERAND_BUSY | KOT)
    call.hold(m.keys.lock.release_ex)
    key = m.keys.entries[tdr.hkid]
    if key.wbinvd_bitmap != 0:
        raise Refused(WBCACHE_NOT_COMPLETE)
    key.state = Kot.FREE
    tdr.lifecycle = Lifecycle.TEARDOWN
    return SUCCESS


@leaf(27)
def tdh_mng_key_reclaimid(m: TdxModule, call: Call) -> int:
    """Kept for old hosts; does nothing. Source: tdh_mng_key_reclaimid.c."""
    return SUCCESS
