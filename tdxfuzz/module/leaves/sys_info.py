"""TDH.SYS.INFO, RD, RDALL: what the module says of itself and of the machine.

Only fields of the model exist (see ``sys_fields``), and only they are next or in a list.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from tdxfuzz.abi.address import SIZE_4K
from tdxfuzz.module.access import check_shared_hpa, write_shared
from tdxfuzz.module.codes import (
    METADATA_FIELD_ID_INCORRECT,
    METADATA_FIRST_FIELD_ID_IN_CONTEXT,
    METADATA_LIST_OVERFLOW,
    OPERAND_INVALID,
    R8,
    R9,
    RCX,
    RDX,
    SUCCESS,
    SYS_LP_INIT_NOT_DONE,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.sys_fields import (
    ELEMENT_SIZE,
    ELEMENTS,
    MAJOR_VERSION,
    MINOR_VERSION,
    VENDOR_ID,
    id_at,
    index_of,
    is_single_element_id,
    sequences,
)
from tdxfuzz.module.td import MIN_TDCS_PAGES, MIN_TDVPS_PAGES
from tdxfuzz.module.td_fields import CONTEXT, NO_FIELD
from tdxfuzz.module.td_params import ATTRIBUTES_ALLOWED, XFAM_ALLOWED, XFAM_FIXED1
from tdxfuzz.module.tdmr_config import MAX_CMRS, MAX_RESERVED_AREAS, MAX_TDMRS, PAMT_ENTRY_SIZE

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.module.platform import Platform

TDSYSINFO_SIZE = 1024
_TDSYSINFO = struct.Struct("<4xI6xHHB13x3H10xH2xH10x4Q")
_CMR = struct.Struct("<2Q")
_LIST_HEADER = struct.Struct("<2H4x")
_LAST_FIELD_SHIFT = 38


@leaf(32)
def tdh_sys_info(m: TdxModule, call: Call) -> int:
    """Write TDSYSINFO and the list of CMRs to memory. Source: tdh_sys_info.c.

    Left zero: build date and number, CPUID configuration. TDSYSINFO is cleared before the
    operands of the CMR list are looked at.
    """
    regs = call.regs
    room, entries = regs.rdx, regs.r9
    regs.rdx = regs.r9 = 0
    _check_lp(m, call)
    check_shared_hpa(m, regs.rcx, RCX, TDSYSINFO_SIZE)
    if room < TDSYSINFO_SIZE:
        raise Refused(OPERAND_INVALID | RDX)
    write_shared(m, regs.rcx, bytes(TDSYSINFO_SIZE))
    check_shared_hpa(m, regs.r8, R8, MAX_CMRS * _CMR.size)
    if entries < MAX_CMRS:
        raise Refused(OPERAND_INVALID | R9)
    write_shared(m, regs.rcx, tdsysinfo())
    write_shared(m, regs.r8, cmr_list(m.platform))
    regs.rdx, regs.r9 = TDSYSINFO_SIZE, MAX_CMRS
    return SUCCESS


def tdsysinfo() -> bytes:
    """TDSYSINFO_STRUCT up to what a TD may be; the rest is zero (td_sys_info_t)."""
    return _TDSYSINFO.pack(
        VENDOR_ID,
        MINOR_VERSION,
        MAJOR_VERSION,
        True,  # SYS.RD is there, and should be asked instead
        MAX_TDMRS,
        MAX_RESERVED_AREAS,
        PAMT_ENTRY_SIZE,
        MIN_TDCS_PAGES * SIZE_4K,
        MIN_TDVPS_PAGES * SIZE_4K,
        ATTRIBUTES_ALLOWED,
        0,
        XFAM_ALLOWED,
        XFAM_FIXED1,
    )


def cmr_list(platform: Platform) -> bytes:
    """All CMR_INFO entries, null ones at the end."""
    entries = b"".join(_CMR.pack(*cmr) for cmr in platform.cmrs)
    return entries.ljust(MAX_CMRS * _CMR.size, b"\0")


@leaf(34)
def tdh_sys_rd(m: TdxModule, call: Call) -> int:
    """Read one field; RDX is the next one there is. Source: tdh_sys_rd.c."""
    regs = call.regs
    field_id = regs.rdx
    regs.rdx, regs.r8 = NO_FIELD, 0
    _check_lp(m, call)
    if field_id | CONTEXT == NO_FIELD:
        regs.rdx = id_at(0)
        return METADATA_FIRST_FIELD_ID_IN_CONTEXT
    index = index_of(field_id)
    if index is None or not is_single_element_id(field_id):
        raise Refused(METADATA_FIELD_ID_INCORRECT)
    regs.r8 = ELEMENTS[index].read(m.platform)
    regs.rdx = id_at(index + 1)
    return SUCCESS


@leaf(37)
def tdh_sys_rdall(m: TdxModule, call: Call) -> int:
    """Write a page with all fields from the one in R8 on; R8 is the next one that found no
    room. Source: tdh_sys_rdall.c.

    The id in R8 must have the size of the field's elements; what else it says is ignored.
    """
    regs = call.regs
    field_id = regs.r8
    regs.r8 = NO_FIELD
    _check_lp(m, call)
    check_shared_hpa(m, regs.rdx, RDX, SIZE_4K)
    if field_id | CONTEXT == NO_FIELD:
        field_id = id_at(0)
    start = index_of(field_id)
    if start is None or (field_id ^ id_at(start)) & ELEMENT_SIZE:
        raise Refused(METADATA_FIELD_ID_INCORRECT)
    content, end = field_list(m.platform, start, SIZE_4K)
    write_shared(m, regs.rdx, content)
    regs.r8 = id_at(end)
    return SUCCESS if regs.r8 == NO_FIELD else METADATA_LIST_OVERFLOW


def field_list(platform: Platform, start: int, size: int) -> tuple[bytes, int]:
    """A metadata list of up to ``size`` bytes, and the index behind its last element.

    A header with size and number of sequences, then each sequence: the id of its first
    field with the number of fields less one, and the values.
    """
    words: list[int] = []
    end, count = start, 0
    for run in sequences(start, size - _LIST_HEADER.size):
        words.append(run[0].id | len(run) - 1 << _LAST_FIELD_SHIFT)
        words += (element.read(platform) for element in run)
        end += len(run)
        count += 1
    body = struct.pack(f"<{len(words)}Q", *words)
    return _LIST_HEADER.pack(_LIST_HEADER.size + len(body), count) + body, end


def _check_lp(m: TdxModule, call: Call) -> None:
    if not m.system.is_lp_init(call.lp):
        raise Refused(SYS_LP_INIT_NOT_DONE)
