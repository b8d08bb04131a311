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
from tdxfuzz.module.memory import Memory
from tdxfuzz.module.td import MAX_L2_VMS, MIN_TDCS_PAGES, Tdr

if TYPE_CHECKING:
    from tdxfuzz.module.module import TdxModule

PARAMS_SIZE = 1024
MAX_VCPUS_PER_TD = 576
XFAM_FIXED1 = 0x3
XFAM_ALLOWED = 0x6DBE7
_XFAM_AVX, _XFAM_AVX512 = 1 << 2, (1 << 5, 1 << 6, 1 << 7)
_XFAM_TOGETHER = ((1 << 11, 1 << 12), (1 << 17, 1 << 18))
_DEBUG, _ICSSD, _MIGRATABLE, _PERFMON = 1 << 0, 1 << 16, 1 << 29, 1 << 63
ATTRIBUTES_ALLOWED = _DEBUG | _ICSSD | 1 << 27 | 1 << 28 | _MIGRATABLE | 1 << 30 | _PERFMON
_MAXPA_VIRT, _MAXGPA_VIRT = 1 << 3, 1 << 4
CONFIG_FLAGS_ALLOWED = 0x1F
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
    reserved_0_clear: bool = True
    reserved_clear: bool = True

    @classmethod
    def read(cls, memory: Memory, hpa: int) -> TdParams:
        """From host memory; memory that was never written is zero."""
        raw = memory.read(hpa, PARAMS_SIZE)
        return evolve(
            cls(*_LAYOUT.unpack_from(raw)),
            reserved_0_clear=not any(raw[20:24]),
            reserved_clear=not any(raw[42:80] + raw[232:256]),
        )

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
    xfam=XFAM_FIXED1,
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
    if not are_attributes_valid(params.attributes):
        raise Refused(OPERAND_INVALID | ATTRIBUTES)
    tdcs.attributes = params.attributes
    if not is_xfam_valid(params.xfam):
        raise Refused(OPERAND_INVALID | XFAM)
    if not 0 < params.max_vcpus <= MAX_VCPUS_PER_TD:
        raise Refused(OPERAND_INVALID | MAX_VCPUS)
    tdcs.max_vcpus = params.max_vcpus
    if params.num_l2_vms > MAX_L2_VMS:
        raise Refused(OPERAND_INVALID | NUM_L2_VMS)
    if tdr.num_tdcx < MIN_TDCS_PAGES + params.num_l2_vms:
        raise Refused(TDCS_NOT_ALLOCATED)
    tdcs.num_l2_vms = params.num_l2_vms
    if not params.reserved_0_clear:
        raise Refused(OPERAND_INVALID | RDX)
    virtual_widths = _MAXPA_VIRT | _MAXGPA_VIRT
    if (
        params.config_flags & ~CONFIG_FLAGS_ALLOWED
        or params.config_flags & virtual_widths == virtual_widths
    ):
        raise Refused(OPERAND_INVALID | EXEC_CONTROLS)
    _check_eptp(m, params)
    tdcs.levels = params.levels
    tdcs.gpaw = params.gpaw
    tdcs.virt_max_pa = m.platform.max_pa
    if not _TSC_MIN <= params.tsc_frequency <= _TSC_MAX:
        raise Refused(OPERAND_INVALID | TSC_FREQUENCY)
    if not params.reserved_clear or params.msr_config_ctls & ~1:
        raise Refused(OPERAND_INVALID | RDX)


def are_attributes_valid(attributes: int) -> bool:
    """verify_td_attributes, for a platform with LASS."""
    if attributes & ~ATTRIBUTES_ALLOWED:
        return False
    if attributes & _MIGRATABLE and attributes & (_DEBUG | _PERFMON):
        return False
    return not (attributes & _PERFMON and attributes & _ICSSD)


def is_xfam_valid(xfam: int) -> bool:
    """check_xfam, for a platform that supports every state component TDX allows."""
    if xfam & ~XFAM_ALLOWED or xfam & XFAM_FIXED1 != XFAM_FIXED1:
        return False
    avx512 = {bool(xfam & bit) for bit in _XFAM_AVX512}
    if len(avx512) > 1 or (True in avx512 and not xfam & _XFAM_AVX):
        return False
    return all(bool(xfam & a) == bool(xfam & b) for a, b in _XFAM_TOGETHER)


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
