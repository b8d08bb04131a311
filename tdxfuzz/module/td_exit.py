"""How a running vCPU comes back to the host: an asynchronous TD exit, and what it says.

Source: td_exit.c, td_other_exits.c; vmcs_defs.h and tdx_api_defs.h for bit positions.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from tdxfuzz.module.codes import HOST_PRIORITY_BUSY_TIMEOUT, NON_RECOVERABLE_VCPU, SUCCESS
from tdxfuzz.module.sept_entry import is_leaf, state_of

if TYPE_CHECKING:
    from tdxfuzz.abi import Registers

EXTERNAL_INTERRUPT = 1
TRIPLE_FAULT = 2
EPT_VIOLATION = 48
TDCALL = 77
"""Basic exit reasons, as in VMX."""

PROGRAM_MAY_EXIT_WITH = frozenset({EXTERNAL_INTERRUPT, TRIPLE_FAULT, TDCALL})
"""What a guest's program may return; an EPT violation comes of what it does. With TDCALL it asks
the host for something by TDG.VP.VMCALL; of what it asks the model knows nothing."""

DATA_READ = 1 << 0
DATA_WRITE = 1 << 1
"""Exit qualification of an EPT violation; in bits 5:3 what the S-EPT entry allowed."""


class Extended(IntEnum):
    """Type of the extended exit qualification, in bits 3:0 of RDX."""

    NONE = 0
    ACCEPT = 1
    ATTR_WR = 5
    PENDING = 6


class TdExit(Exception):
    """The vCPU leaves the guest here, for the host.

    Args:
        reason: basic exit reason, to be in the low half of RAX.
        qualification: exit qualification, for RCX.
        extended: extended exit qualification, for RDX.
        gpa: for R8; its offset in the page is dropped.
    """

    def __init__(
        self, reason: int, qualification: int = 0, extended: int = 0, gpa: int = 0
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.qualification = qualification
        self.extended = extended
        self.gpa = gpa & ~0xFFF

    @property
    def is_trap(self) -> bool:
        """The guest's instruction was completed before the exit."""
        return False

    def report(self, regs: Registers) -> None:
        """Put what the host is told into the registers of its VP.ENTER."""
        regs.rcx, regs.rdx, regs.r8 = self.qualification, self.extended, self.gpa
        regs.r9 = regs.r10 = regs.r11 = regs.r12 = regs.r13 = regs.r14 = regs.r15 = 0
        regs.rbx = regs.rsi = regs.rdi = 0


class HostPriorityTimeout(TdExit):
    """A host's priority on a lock kept the guest waiting for too long."""

    def __init__(self) -> None:
        super().__init__(reason=0)

    @property
    def is_trap(self) -> bool:
        return True


def exit_status(exit_: TdExit) -> int:
    """What VP.ENTER returns in RAX."""
    if isinstance(exit_, HostPriorityTimeout):
        return HOST_PRIORITY_BUSY_TIMEOUT
    if exit_.reason == TRIPLE_FAULT:
        return NON_RECOVERABLE_VCPU | exit_.reason
    return SUCCESS | exit_.reason


def sept_violation(kind: Extended, gpa: int, wanted: int, level: int, raw: int) -> TdExit:
    """The S-EPT entry that a TDCALL needs is not as it has to be: the host is asked.

    async_tdexit_ept_violation. ``wanted`` is the level of the request, ``level`` that of
    the entry, ``raw`` its value.
    """
    info = wanted | level << 3 | state_of(raw).public << 6 | is_leaf(raw) << 14
    return TdExit(EPT_VIOLATION, DATA_WRITE | (raw & 7) << 3, kind | info << 32, gpa)
