"""TD_PARAMS: what the host asks of a TD at MNG.INIT, as far as it shapes the model."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from tdxfuzz.module.codes import (
    ATTRIBUTES,
    EPTP_CONTROLS,
    EXEC_CONTROLS,
    MAX_VCPUS,
    NUM_L2_VMS,
    OPERAND_INVALID,
    RDX,
    TDCS_NOT_ALLOCATED,
    TSC_FREQUENCY,
    XFAM,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.memory import Memory, RawPage
from tdxfuzz.module.td import MAX_L2_VMS, MIN_TDCS_PAGES, Tdr

if TYPE_CHECKING:
    from tdxfuzz.module.module import TdxModule

PARAMS_SIZE = 1024
_MAX_VCPUS_PER_TD = 576
_XFAM_FIXED1 = 0x3
_ATTRIBUTES_KNOWN = 0xC000_003F_F000_0001
_CONFIG_FLAGS_KNOWN = 0x3F
_TSC_MIN, _TSC_MAX = 4, 400
_EPT_WRITE_BACK = 6
_LAYOUT = struct.Struct("<QQHBB4xQQH")


@frozen
class TdParams:
    """The fields the model looks at; sizes and places as in ``td_params_t``.

    ``levels`` is the number of S-EPT levels that EPTP_CONTROLS asks for.
    """

    attributes: int
    xfam: int
    max_vcpus: int
    num_l2_vms: int
    msr_config_ctls: int
    eptp_controls: int
    config_flags: int
    tsc_frequency: int
    reserved_clear: bool = True

    @classmethod
    def read(cls, memory: Memory, hpa: int) -> TdParams:
        """From host memory; memory that was never written is zero."""
        page = memory.at(hpa)
        content = page.content if isinstance(page, RawPage) else b""
        raw = content[hpa & 0xFFF :][:PARAMS_SIZE].ljust(PARAMS_SIZE, b"\0")
        reserved = raw[20:24] + raw[42:80] + raw[232:256]
        return evolve(cls(*_LAYOUT.unpack_from(raw)), reserved_clear=not any(reserved))

    def to_bytes(self) -> bytes:
        """The 1024 bytes of the structure."""
        return _LAYOUT.pack(
            self.attributes,
            self.xfam,
            self.max_vcpus,
            self.num_l2_vms,
            self.msr_config_ctls,
            self.eptp_controls,
            self.config_flags,
            self.tsc_frequency,
        ).ljust(PARAMS_SIZE, b"\0")

    @property
    def levels(self) -> int:
        """S-EPT levels: the page walk length field, plus one."""
        return (self.eptp_controls >> 3 & 7) + 1

    @property
    def gpaw(self) -> bool:
        """The TD asks for 52-bit guest physical addresses."""
        return bool(self.config_flags & 1)


DEFAULT = TdParams(
    attributes=0,
    xfam=_XFAM_FIXED1,
    max_vcpus=8,
    num_l2_vms=0,
    msr_config_ctls=0,
    eptp_controls=_EPT_WRITE_BACK | 3 << 3,
    config_flags=0,
    tsc_frequency=40,
)


def configure(m: TdxModule, tdr: Tdr, params: TdParams) -> None:
    """read_and_set_td_configurations: check each field in order, set TDCS.

    Raises:
        Refused: OPERAND_INVALID with the id of the first field that is wrong.
    """
    tdcs = tdr.tdcs
    if params.attributes & ~_ATTRIBUTES_KNOWN:
        raise Refused(OPERAND_INVALID | ATTRIBUTES)
    if params.xfam & _XFAM_FIXED1 != _XFAM_FIXED1:
        raise Refused(OPERAND_INVALID | XFAM)
    if not 0 < params.max_vcpus <= _MAX_VCPUS_PER_TD:
        raise Refused(OPERAND_INVALID | MAX_VCPUS)
    tdcs.max_vcpus = params.max_vcpus
    if params.num_l2_vms > MAX_L2_VMS:
        raise Refused(OPERAND_INVALID | NUM_L2_VMS)
    if tdr.num_tdcx < MIN_TDCS_PAGES + params.num_l2_vms:
        raise Refused(TDCS_NOT_ALLOCATED)
    tdcs.num_l2_vms = params.num_l2_vms
    if params.config_flags & ~_CONFIG_FLAGS_KNOWN:
        raise Refused(OPERAND_INVALID | EXEC_CONTROLS)
    _check_eptp(m, params)
    tdcs.levels = params.levels
    tdcs.gpaw = params.gpaw
    tdcs.virt_max_pa = m.platform.max_pa
    if not _TSC_MIN <= params.tsc_frequency <= _TSC_MAX:
        raise Refused(OPERAND_INVALID | TSC_FREQUENCY)
    if not params.reserved_clear or params.msr_config_ctls & ~1:
        raise Refused(OPERAND_INVALID | RDX)


def _check_eptp(m: TdxModule, params: TdParams) -> None:
    """verify_and_set_td_eptp_controls: write-back, 4 or 5 levels, 5 if GPAs are wide."""
    most = 5 if m.platform.pml5 else 4
    if (
        params.eptp_controls & 7 != _EPT_WRITE_BACK
        or params.eptp_controls >> 6
        or not 4 <= params.levels <= most
        or (params.gpaw and params.levels < 5)
    ):
        raise Refused(OPERAND_INVALID | EPTP_CONTROLS)
