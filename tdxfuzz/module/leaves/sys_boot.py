"""TDH.SYS.INIT, LP.INIT, CONFIG, KEY.CONFIG, SHUTDOWN: the module is brought up and down.

Not modelled: checks of MSRs, CPUID, VMX and SEAM capabilities, SMRRs and the module's own
build (SYS.INIT and SYS.LP.INIT), CPUID tables (SYS.CONFIG), PCONFIG's own failures
(SYS.KEY.CONFIG), and the data handed to the next module (SYS.SHUTDOWN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.module.access import check_shared_hpa
from tdxfuzz.module.codes import (
    CMR_LIST_INVALID,
    KEY_CONFIGURED,
    NUM_ACTIVATED_HKIDS_NOT_SUPPORTED,
    OPERAND_INVALID,
    R8,
    RAX,
    RCX,
    RDX,
    SUCCESS,
    SYS_BUSY,
    SYS_CONFIG_NOT_PENDING,
    SYS_INIT_NOT_PENDING,
    SYS_KEY_CONFIG_NOT_PENDING,
    SYS_LP_INIT_DONE,
    SYS_LP_INIT_NOT_PENDING,
    UPDATE_COMPATIBILITY_SENSITIVE,
)
from tdxfuzz.module.errors import ModuleFatal, Refused
from tdxfuzz.module.key_table import Kot
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import EXCLUSIVE, SHARED
from tdxfuzz.module.sys_fields import MODULE_HV
from tdxfuzz.module.system import SysState
from tdxfuzz.module.tdmr_config import (
    MAX_DYNAMIC_PAMT_HKID_START_BIT,
    MAX_TDMRS,
    TDMR_INFO_ALIGNMENT,
    TdmrInfoEntry,
    are_cmrs_valid,
    check_tdmr,
)

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule

MAX_HKIDS = 2048

_CACHE_LINE = 64
_NO_LOG = (1 << 46) - 1 << 6
_INTERRUPT = 1


@leaf(33)
def tdh_sys_init(m: TdxModule, call: Call) -> int:
    """Initialise the module; version 1 says where fatal errors go. Source: tdh_sys_init.c."""
    regs, system = call.regs, m.system
    rcx, diagnostics = regs.rcx, regs.r8
    regs.rcx = regs.rdx = regs.r8 = regs.r9 = regs.r10 = 0
    if call.version > 1:
        raise Refused(OPERAND_INVALID | RAX)
    system.take(call, EXCLUSIVE)
    if rcx != 0:
        raise Refused(OPERAND_INVALID | RCX)
    if system.state.value is not SysState.SYSINIT_PENDING:
        raise Refused(SYS_INIT_NOT_PENDING)
    if m.platform.private_hkid_max >= MAX_HKIDS:
        raise Refused(NUM_ACTIVATED_HKIDS_NOT_SUPPORTED | MAX_HKIDS)
    if not are_cmrs_valid(m.platform):
        raise Refused(CMR_LIST_INVALID)
    if call.version == 1:
        _check_diagnostics(m, diagnostics)
    system.state.write(SysState.SYSINIT_DONE)
    return SUCCESS


def _check_diagnostics(m: TdxModule, config: int) -> None:
    """configure_fatal_info_diagnostics: where to log, whom to interrupt. Nothing is kept."""
    if config & 0x3F or config >> 52 & 3:
        raise Refused(OPERAND_INVALID | R8)
    log = config & _NO_LOG
    if log != _NO_LOG:
        check_shared_hpa(m, log, R8, _CACHE_LINE)
    if config >> 54 & 3 == _INTERRUPT and config >> 56 < 16:
        raise Refused(OPERAND_INVALID | R8)


@leaf(35)
def tdh_sys_lp_init(m: TdxModule, call: Call) -> int:
    """Initialise the calling processor. Source: tdh_sys_lp_init.c."""
    regs, system = call.regs, m.system
    regs.rcx = regs.rdx = regs.r8 = 0
    system.take(call, SHARED)
    if system.state.value is not SysState.SYSINIT_DONE:
        raise Refused(SYS_LP_INIT_NOT_PENDING)
    if system.is_lp_init(call.lp):
        raise Refused(SYS_LP_INIT_DONE)
    system.init_lp(call.lp)
    return SUCCESS


@leaf(45)
def tdh_sys_config(m: TdxModule, call: Call) -> int:
    """Take over the TDMRs, the global HKID and the kind of PAMT. Source: tdh_sys_config.c.

    The HKID is reserved once R8 itself is found valid, and stays so if the call is refused
    afterwards: a second attempt with another HKID leaves this one unusable.
    """
    regs, system = call.regs, m.system
    system.take(call, EXCLUSIVE)
    if (
        system.state.value is not SysState.SYSINIT_DONE
        or system.num_init_lps.value < system.num_lps
    ):
        raise Refused(SYS_CONFIG_NOT_PENDING)
    check_shared_hpa(m, regs.rcx, RCX, TDMR_INFO_ALIGNMENT)
    if not 1 <= regs.rdx <= MAX_TDMRS:
        raise Refused(OPERAND_INVALID | RDX)
    hkid, dynamic = regs.r8 & 0xFFFF, bool(regs.r8 >> 16 & 1)
    if regs.r8 >> 17 or hkid not in m.keys.entries:
        raise Refused(OPERAND_INVALID | R8)
    m.keys.entries[hkid].state = Kot.RESERVED
    if dynamic and m.platform.key_bits.start > MAX_DYNAMIC_PAMT_HKID_START_BIT:
        raise Refused(OPERAND_INVALID | R8)

    tdmrs: list[TdmrInfoEntry] = []
    for i in range(regs.rdx):
        info_hpa = int.from_bytes(m.memory.read(regs.rcx + 8 * i, 8), "little")
        check_shared_hpa(m, info_hpa, RCX, TDMR_INFO_ALIGNMENT)
        info = TdmrInfoEntry.read(m.memory, info_hpa)
        check_tdmr(m.platform, dynamic, info, tdmrs)
        tdmrs.append(info)
    m.set_pamt([info.as_configured for info in tdmrs], dynamic)
    system.pkg_config_bitmap = 0
    system.state.write(SysState.SYSCONFIG_DONE)
    return SUCCESS


@leaf(31)
def tdh_sys_key_config(m: TdxModule, call: Call) -> int:
    """Program the global key on the caller's package. Source: tdh_sys_key_config.c."""
    system = m.system
    system.take(call, EXCLUSIVE)
    if system.state.value is not SysState.SYSCONFIG_DONE:
        raise Refused(SYS_KEY_CONFIG_NOT_PENDING)
    package = system.package_of(call.lp)
    if system.pkg_config_bitmap >> package & 1:
        raise Refused(KEY_CONFIGURED)
    system.pkg_config_bitmap |= 1 << package
    if system.pkg_config_bitmap == m.all_packages:
        system.state.write(SysState.SYS_READY)
    return SUCCESS


@leaf(52)
def tdh_sys_shutdown(m: TdxModule, call: Call) -> int:
    """Shut the module down for an update. Source: tdh_sys_shutdown.c.

    While it looks whether another processor is in a call, it keeps out new calls, which
    are told SYS_SHUTDOWN even if it then goes back. The count of interrupted migrations
    is always 0 here.
    """
    system, handoff = m.system, call.regs.rcx
    avoid_sensitive = handoff >> 16 & 1
    # Of the versions that it knows only its own will do, as no downgrade is allowed.
    if handoff & 0xFFFF != MODULE_HV or handoff >> 17:
        raise Refused(OPERAND_INVALID | RCX)
    system.take(call, EXCLUSIVE)
    if system.state.value is not SysState.SYS_READY:
        raise ModuleFatal(301, "SYS.SHUTDOWN in a module that is not ready")
    system.state.write(SysState.SYS_SHUTDOWN)
    if system.busy_lps.read() > 1:
        system.state.write(SysState.SYS_READY)
        raise Refused(SYS_BUSY)
    tds_in_build = m.td_build_count.value
    if avoid_sensitive and tds_in_build:
        system.state.write(SysState.SYS_READY)
        raise Refused(UPDATE_COMPATIBILITY_SENSITIVE | tds_in_build << 16)
    return SUCCESS


@leaf(44)
def tdh_sys_lp_shutdown(m: TdxModule, call: Call) -> int:
    """Kept for old hosts; does nothing. Source: tdh_sys_lp_shutdown.c."""
    return SUCCESS
