"""The states of a Secure EPT entry, and how its bits encode them.

Source: src/common/memory_handlers/sept_manager.[ch]; auto_gen sept_state_lookup for encodings and
public states.
"""

from __future__ import annotations

from enum import Enum


def _encoding(bits: int) -> int:
    """State bits PS:TDMEM:TDP:TDB:TDBW:TDEX:D of the table, moved to their places."""
    return (bits & 1) << 9 | (bits >> 1 & 0xF) << 53 | (bits >> 5 & 3) << 6


ENCODING_MASK = _encoding(0x7F)


class SeptState(Enum):
    """The states that occur without migration: encoding, and the state RDX reports."""

    FREE = (_encoding(0x0E), 0x00)
    NL_MAPPED = (_encoding(0x00), 0x84)
    NL_BLOCKED = (_encoding(0x08), 0x81)
    MAPPED = (_encoding(0x60), 0x04)
    BLOCKED = (_encoding(0x68), 0x01)
    PENDING = (_encoding(0x70), 0x02)
    PENDING_BLOCKED = (_encoding(0x78), 0x03)

    def __init__(self, encoding: int, public: int) -> None:
        self.encoding = encoding
        self.public = public

    @property
    def is_blocked(self) -> bool:
        """Any blocked state."""
        return self in UNBLOCKED

    @property
    def is_pending(self) -> bool:
        """Not yet accepted by the guest."""
        return self in (SeptState.PENDING, SeptState.PENDING_BLOCKED)


BLOCKED_FORM = {
    SeptState.NL_MAPPED: SeptState.NL_BLOCKED,
    SeptState.MAPPED: SeptState.BLOCKED,
    SeptState.PENDING: SeptState.PENDING_BLOCKED,
}
UNBLOCKED = {blocked: state for state, blocked in BLOCKED_FORM.items()}
