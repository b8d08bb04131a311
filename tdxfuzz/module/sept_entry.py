"""The value of a Secure EPT entry, bit for bit.

Source: src/common/memory_handlers/sept_manager.[ch], x86_defs.h for bit positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi.address import LEVEL_2M
from tdxfuzz.module.sept_state import BLOCKED_FORM, ENCODING_MASK, UNBLOCKED, SeptState

if TYPE_CHECKING:
    from tdxfuzz.module.platform import Platform

RWX = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 10
MT = 0b111 << 3
MT_WB = 0b110 << 3
TDMEM = 1 << 6
PS = 1 << 7
TDEL = 1 << 11
TDHP = 1 << 52
SUPPRESS_VE = 1 << 63
BASE = 0x000F_FFFF_FFFF_F000
ACCEPT_COUNT = 0x1FF << 12
"""In a pending 2MB entry: how many of its 4KB pages an ACCEPT has initialised already."""
_LEAF_ARCH = RWX | MT | BASE | TDMEM | PS | SUPPRESS_VE
_NON_LEAF_ARCH = RWX | PS


_BY_ENCODING = {state.encoding: state for state in SeptState}
_NAMES = {state.encoding: state.name for state in SeptState}

FREE = SeptState.FREE.encoding
INIT_VALUE = FREE | SUPPRESS_VE


def state_of(raw: int) -> SeptState:
    """The state of an entry's value."""
    return _BY_ENCODING[raw & ENCODING_MASK]


def name_of(raw: int) -> str:
    """The name of the state of an entry's value."""
    return _NAMES[raw & ENCODING_MASK]


def is_leaf(raw: int) -> bool:
    """Maps a page, rather than a lower S-EPT page (or nothing)."""
    return bool(raw & PS)


def _with_state(raw: int, state: SeptState) -> int:
    """sept_update_state: state, memory type from TDMEM, and suppress-#VE."""
    raw = raw & ~(ENCODING_MASK | MT) | state.encoding | SUPPRESS_VE
    return raw | MT_WB if raw & TDMEM else raw


def blocked(raw: int) -> int:
    """The value of a mapped or pending entry once it is blocked."""
    return _with_state(raw, BLOCKED_FORM[state_of(raw)]) & ~RWX


def unblocked(raw: int) -> int:
    """The value of a blocked entry as it was before; others unchanged."""
    state = UNBLOCKED.get(state_of(raw))
    if state is None:
        return raw
    raw = _with_state(raw, state)
    return raw if state is SeptState.PENDING else raw | RWX


def accepted(raw: int) -> int:
    """The value of a pending entry once the guest has accepted the page."""
    return _with_state(raw | RWX, SeptState.MAPPED)


def without_accept_count(raw: int, level: int) -> int:
    """sept_cleanup_if_pending: an entry's value as if no ACCEPT had begun."""
    if level == LEVEL_2M and state_of(raw) is SeptState.PENDING:
        return raw & ~ACCEPT_COUNT
    return raw


def leaf_value(pa: int, state: SeptState, rwx: int) -> int:
    """A leaf entry for a page (address with HKID)."""
    return _with_state(pa & BASE | rwx, state)


def non_leaf_value(pa: int) -> int:
    """A mapped entry for a lower S-EPT page (address with HKID); no memory type."""
    return pa & BASE | RWX | SeptState.NL_MAPPED.encoding | SUPPRESS_VE


def details(raw: int, level: int, platform: Platform) -> tuple[int, int]:
    """What RCX and RDX report of an entry: its architectural value, level and state."""
    state = state_of(raw)
    if state is SeptState.FREE:
        value = SUPPRESS_VE
    else:
        value = platform.key_bits.strip(raw & (_LEAF_ARCH if is_leaf(raw) else _NON_LEAF_ARCH))
    return value, level | state.public << 8
