"""The register file of a SEAMCALL: what goes in, and what comes back in its place."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = (
    "rcx",
    "rdx",
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
    "rbx",
    "rdi",
    "rsi",
)
"""In the order of Linux's ``struct tdx_module_args``."""

ADD_PAIR = ("rdx", "r8", "r9", "r10")
"""Where PAMT.ADD takes a range's pages and REMOVE gives them back: the first two; others are a
what-if, in the order in which v3 20250918232224.2202592-1 filled ``tdx_module_args``."""

DEMOTE_PAIR = ("r12", "r13", "r14", "r15")
"""The same for DEMOTE and PROMOTE."""

L2_PAGES = ("r9", "r10", "r11")
"""Where S-EPT pages of L2 VMs 1 to 3 are taken and given back."""

RDMD_PAIR = ("r10", "r11", "r12", "r13")
"""Where RDMD reports them."""

_U64 = (1 << 64) - 1


class Registers:
    """Thirteen 64-bit registers; a leaf reads its operands and overwrites its outputs."""

    __slots__ = NAMES

    rcx: int
    rdx: int
    r8: int
    r9: int
    r10: int
    r11: int
    r12: int
    r13: int
    r14: int
    r15: int
    rbx: int
    rdi: int
    rsi: int

    def __init__(
        self,
        rcx: int = 0,
        rdx: int = 0,
        r8: int = 0,
        r9: int = 0,
        r10: int = 0,
        r11: int = 0,
        r12: int = 0,
        r13: int = 0,
        r14: int = 0,
        r15: int = 0,
    ) -> None:
        self.rcx = rcx
        self.rdx = rdx
        self.r8 = r8
        self.r9 = r9
        self.r10 = r10
        self.r11 = r11
        self.r12 = r12
        self.r13 = r13
        self.r14 = r14
        self.r15 = r15
        self.rbx = self.rdi = self.rsi = 0

    @classmethod
    def of(cls, values: Mapping[str, int]) -> Registers:
        """From a mapping of names; registers not named are 0.

        Raises:
            ValueError: an unknown register, or a value that is not 64 bits.
        """
        registers = cls()
        for name, value in values.items():
            if name not in NAMES:
                raise ValueError(f"{name!r} is not a register; known: {', '.join(NAMES)}")
            if not 0 <= value <= _U64:
                raise ValueError(f"{name} = {value:#x} is not a 64-bit value")
            setattr(registers, name, value)
        return registers

    def as_dict(self) -> dict[str, int]:
        """All registers by name."""
        return {name: getattr(self, name) for name in NAMES}

    def as_tuple(self) -> tuple[int, ...]:
        """The values of all registers, in a fixed order."""
        return tuple(getattr(self, name) for name in NAMES)

    def __repr__(self) -> str:
        inside = " ".join(f"{name}={value:#x}" for name, value in self.as_dict().items() if value)
        return f"<{inside}>"
