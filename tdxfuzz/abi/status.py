"""The completion status word (RAX on return), its parts and its name."""

from __future__ import annotations

from functools import lru_cache

from tdxfuzz.abi.status_codes import CODES, OPERANDS, SOFTWARE

_ERROR = 1 << 63
_NON_RECOVERABLE = 1 << 62
_DETAIL = 0xFFFF_FFFF

_NAME_OF_CODE = {code: name for name, code in CODES.items()}
_NAME_OF_OPERAND = {number: name for name, number in OPERANDS.items()}
_OP_STATES = (
    "UNINITIALIZED",
    "INITIALIZED",
    "RUNNABLE",
    "LIVE_EXPORT",
    "PAUSED_EXPORT",
    "POST_EXPORT",
    "MEMORY_IMPORT",
    "STATE_IMPORT",
    "POST_IMPORT",
    "LIVE_IMPORT",
    "FAILED_IMPORT",
    "START_IMPORT",
)
_CLASSES = {
    0x00: "general",
    0x01: "operand",
    0x02: "resource busy",
    0x03: "page metadata",
    0x04: "pages of a TD",
    0x05: "state of the module",
    0x06: "state of a TD",
    0x07: "state of a vCPU",
    0x08: "keys",
    0x09: "platform",
    0x0A: "TDMRs",
    0x0B: "Secure EPT",
    0x0C: "metadata fields",
    0x0D: "service TDs",
    0x0E: "migration",
    0x10: "reports",
    0x11: "L2 VMs",
    0xFF: "made up by the host",
}
_RAX_IS_AN_OPERAND = frozenset({CODES["OPERAND_INVALID"]})
_WITH_LEVEL = frozenset({"PAGE_ALREADY_ACCEPTED", "PAGE_SIZE_MISMATCH"})
_WITH_VM = frozenset({"L2_SEPT_WALK_FAILED", "L2_SEPT_ENTRY_NOT_FREE"})
_WITH_BYTES = {
    "INVALID_TDMR": "TDMR {}",
    "NON_ORDERED_TDMR": "TDMR {}",
    "TDMR_OUTSIDE_CMRS": "TDMR {}",
    "INVALID_RESERVED_IN_TDMR": "TDMR {} area {}",
    "NON_ORDERED_RESERVED_IN_TDMR": "TDMR {} area {}",
    "INVALID_PAMT": "TDMR {} level {}",
    "PAMT_OUTSIDE_CMRS": "TDMR {} level {}",
    "PAMT_OVERLAP": "TDMR {} level {} and TDMR {}",
}
_WITH_EXIT_REASON = frozenset(name for name in CODES if name.startswith("NON_RECOVERABLE"))


def name_of_code(code: int) -> str:
    """The name of bits 63:32 alone: ``"OPERAND_BUSY"``. Linux makes up several words of one code:
    all their names, with "or" between them. Hex if no header defines it.
    """
    made_up = [name for word, name in SOFTWARE.items() if word >> 32 == code]
    return " or ".join(made_up) or _NAME_OF_CODE.get(code) or f"0x{code:08x}"


class Status(int):
    """A status word: an int that knows its parts.

    ``str()`` gives the name with what the low word tells: ``OPERAND_BUSY|RCX``,
    ``OP_STATE_INCORRECT|INITIALIZED``, ``PAMT_PAGE_NOT_EMPTY|page 1``. A word that no header
    defines is its 64 bits in hex.
    """

    __slots__ = ()

    @property
    def code(self) -> int:
        """Bits 63:32: what happened."""
        return self >> 32

    @property
    def detail(self) -> int:
        """Bits 31:0: for most errors the operand id."""
        return self & _DETAIL

    @property
    def class_id(self) -> int:
        """Bits 47:40: the class of the code (2 = resource busy, 3 = page metadata …)."""
        return self >> 40 & 0xFF

    @property
    def name(self) -> str:
        """The code's name, e.g. ``"HPA_RANGE_NOT_FREE"``; hex if no header defines it."""
        return SOFTWARE.get(self) or _NAME_OF_CODE.get(self.code) or f"0x{self.code:08x}"

    @property
    def class_name(self) -> str:
        """What the class is about, in words; empty if no code of it is known."""
        return _CLASSES.get(self.class_id, "")

    @property
    def is_known(self) -> bool:
        """Whether a header defines its code, or Linux makes it up."""
        return self in SOFTWARE or self.code in _NAME_OF_CODE

    @property
    def in_full(self) -> str:
        """Name and number; of a word that no header defines, what its class is about."""
        if self.is_known:
            return f"{self} (0x{self:016x})"
        return f"{self} (not defined; class {self.class_name or f'0x{self.class_id:02x}'})"

    @property
    def operand(self) -> str:
        """The operand the detail names, e.g. ``"RCX"``; empty if it names none."""
        return _NAME_OF_OPERAND.get(self.detail, "")

    @property
    def ok(self) -> bool:
        """Success, without or with information (bit 63 clear)."""
        return not self & _ERROR

    @property
    def is_error(self) -> bool:
        """Bit 63: the call failed."""
        return bool(self & _ERROR)

    @property
    def is_recoverable(self) -> bool:
        """An error after which the same call may succeed later (bit 62 clear)."""
        return bool(self & _ERROR) and not self & _NON_RECOVERABLE

    @property
    def busy(self) -> bool:
        """OPERAND_BUSY: somebody else held a lock that the call needed."""
        return self.code == CODES["OPERAND_BUSY"]

    @property
    def interrupted(self) -> bool:
        """INTERRUPTED_…: the call gave up halfway and may be resumed or restarted."""
        return self.name.startswith("INTERRUPTED_")

    @property
    def is_software(self) -> bool:
        """Made up by the host: the SEAMCALL never reached a living module."""
        return self.class_id == 0xFF

    def __str__(self) -> str:
        if not self.is_known:
            return f"0x{self:016x}"
        if self in SOFTWARE or self.code == 0:
            return self.name
        detail = self._detail_text()
        return f"{self.name}|{detail}" if detail else self.name

    def __repr__(self) -> str:
        return f"Status(0x{int(self):016x}: {self})"

    def _detail_text(self) -> str:
        name, detail = self.name, self.detail
        if name == "OP_STATE_INCORRECT":
            return _OP_STATES[detail] if detail < len(_OP_STATES) else str(detail)
        if name == "PAMT_PAGE_NOT_EMPTY":
            return f"page {detail}"
        if name in _WITH_LEVEL:
            return f"level {detail}"
        if name in _WITH_VM:
            return f"VM {detail >> 16} level {detail & 0xFFFF}"
        if name in _WITH_BYTES:
            return _WITH_BYTES[name].format(*detail.to_bytes(4, "little"))
        if name in _WITH_EXIT_REASON:
            return f"exit {detail}"
        if detail == 0:
            return "RAX" if self.code in _RAX_IS_AN_OPERAND else ""
        return self.operand or f"0x{detail:x}"


@lru_cache(maxsize=4096)
def status(word: int) -> Status:
    """The :class:`Status` for a 64-bit word."""
    return Status(word)


def code(name: str) -> int:
    """The status word of a code with nothing in its low half.

    Raises:
        KeyError: no header defines that name.
    """
    return CODES[name] << 32


SUCCESS = status(0)
DEAD = status(0x8000FF00_FFFF0000)
"""What every SEAMCALL gives once the module has shut down (VMfailInvalid)."""
