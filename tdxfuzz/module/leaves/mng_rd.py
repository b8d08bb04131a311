"""TDH.MNG.RD and WR: the host looks at a TD's fields, and sets the few it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.module.access import lock_tdr, map_tdcs
from tdxfuzz.module.codes import (
    METADATA_FIELD_ID_INCORRECT,
    METADATA_FIELD_NOT_READABLE,
    METADATA_FIELD_NOT_WRITABLE,
    METADATA_FIELD_VALUE_NOT_VALID,
    METADATA_FIRST_FIELD_ID_IN_CONTEXT,
    METADATA_WR_MASK_NOT_VALID,
    OPERAND_INVALID,
    RAX,
    RCX,
    SUCCESS,
)
from tdxfuzz.module.errors import Refused
from tdxfuzz.module.leaves.registry import leaf
from tdxfuzz.module.lock import SHARED
from tdxfuzz.module.td_fields import CONTEXT, NO_FIELD, find_field, next_field_id

if TYPE_CHECKING:
    from tdxfuzz.module.call import Call
    from tdxfuzz.module.module import TdxModule

ALL_BITS = (1 << 64) - 1


@leaf(11)
def tdh_mng_rd(m: TdxModule, call: Call) -> int:
    """Read a field; version 1 says which is next. Source: tdh_mng_rd_wr.c.

    Only fields of the model exist (see ``td_fields``), and only they are next.
    """
    regs = call.regs
    field_id = regs.rdx
    if call.version > 0:
        regs.rdx = NO_FIELD
    regs.r8 = 0
    if call.version > 1:
        raise Refused(OPERAND_INVALID | RAX)
    tdr = lock_tdr(m, call, regs.rcx, RCX, SHARED)
    tdcs = map_tdcs(m, call, tdr)
    if call.version > 0 and field_id | CONTEXT == NO_FIELD:
        regs.rdx = next_field_id(None, 0, tdcs.debug)
        return METADATA_FIRST_FIELD_ID_IN_CONTEXT
    found = find_field(field_id)
    if found is None:
        raise Refused(METADATA_FIELD_ID_INCORRECT)
    field, element = found
    if field.debug_only and not tdcs.debug:
        raise Refused(METADATA_FIELD_NOT_READABLE)
    regs.r8 = field.read(m.platform, tdr, element)
    if call.version > 0:
        regs.rdx = next_field_id(field, element, tdcs.debug)
    return SUCCESS


@leaf(13)
def tdh_mng_wr(m: TdxModule, call: Call) -> int:
    """Write a field under a mask; R8 is the value from before. Source: tdh_mng_rd_wr.c.

    HP_LOCK_TIMEOUT is the only field of the model that the host may write. Not modelled:
    OPERAND_BUSY|METADATA_FIELD, for two writers of one field of another kind at once.
    """
    regs = call.regs
    value = regs.r8
    regs.r8 = 0
    tdr = lock_tdr(m, call, regs.rcx, RCX, SHARED)
    map_tdcs(m, call, tdr)
    found = find_field(regs.rdx)
    if found is None:
        raise Refused(METADATA_FIELD_ID_INCORRECT)
    field, element = found
    if field.write is None or regs.r9 == 0:
        raise Refused(METADATA_FIELD_NOT_WRITABLE)
    before = field.read(m.platform, tdr, element)
    if regs.r9 != ALL_BITS:
        raise Refused(METADATA_WR_MASK_NOT_VALID)
    if not field.write(m.platform, tdr, value):
        raise Refused(METADATA_FIELD_VALUE_NOT_VALID)
    regs.r8 = before
    return SUCCESS
