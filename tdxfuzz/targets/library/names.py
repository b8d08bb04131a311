"""The numbers of ``tdxfuzz_target.h``, and what recordings call them."""

from __future__ import annotations

import struct

from tdxfuzz.targets.recording import LockEvent

OPS = ("acq", "rel", "promote", "bts", "btr", "xadd", "cmpxchg")
MODES = ("", "SH", "EX", "MUTEX")
HEADER_OPS = ("ACQUIRE", "RELEASE", "PROMOTE", "BIT_SET", "BIT_RESET", "ADD", "COMPARE_EXCHANGE")
HEADER_MODES = ("NO_MODE", "SHARED", "EXCLUSIVE", "MUTEX")
"""The same, as ``enum tdxt_op`` and ``enum tdxt_mode`` call them, without ``TDXT_``."""

_PLAIN, _HEX, _DECIMAL, _ENTRY = range(4)
KINDS = (
    ("GLOBAL", _PLAIN),
    ("NUM_INIT_LPS", _PLAIN),
    ("PAMT_1G", _HEX),
    ("PAMT_2M", _HEX),
    ("PAMT_4K", _HEX),
    ("PAGE_COUNT", _HEX),
    ("BITMAP", _HEX),
    ("TDMR", _DECIMAL),
    ("KOT", _PLAIN),
    ("WBT", _DECIMAL),
    ("CHLDCNT", _HEX),
    ("TD_BUILD_COUNT", _PLAIN),
    ("OP_STATE", _HEX),
    ("SEPT_TREE", _HEX),
    ("SEPTE", _ENTRY),
    ("TD_EPOCH", _HEX),
    ("REFCOUNT", _HEX),
    ("ASSOC_LPID", _HEX),
)
"""Names of resources in the order of ``enum tdxt_kind``, and how their indices are written."""

EVENT = struct.Struct("<QQQqQQQQQQ")
"""``struct tdxt_event``."""


def event_of(data: bytes) -> tuple[int, LockEvent]:
    """An event: its LP, and what recordings have of it.

    Raises:
        ValueError: a number that the header does not have.
    """
    lp, op, mode, delta, kind, first, second, third, _, ok = EVENT.unpack(data)
    if op >= len(OPS) or mode >= len(MODES) or kind >= len(KINDS):
        raise ValueError(f"an event with op {op}, mode {mode}, kind {kind}")
    name, form = KINDS[kind]
    if form == _HEX:
        name = f"{name}[{first:#x}]"
    elif form == _DECIMAL:
        name = f"{name}[{first}]"
    elif form == _ENTRY:
        name = f"{name}[{first:#x},{second:#x},{third}]"
    how = f"{delta:+d}" if OPS[op] == "xadd" else MODES[mode]
    return lp, (OPS[op], how, name, bool(ok))


def kind_of_resource(what: str) -> str:
    """A resource without its indices."""
    return what.partition("[")[0]
