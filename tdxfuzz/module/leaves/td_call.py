"""A running vCPU: what its guest can do, and the dispatcher of its TDCALLs.

Source: tdx_td_dispatcher.c, td_ept_violation.c, td_exit_stepping.c. Left out: all VM exits
but those of TDCALL, EPT violations, external interrupts and triple faults; shared memory;
the TLB (every access walks S-EPT anew); single-step detection, which delays interrupts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi import GUEST_BY_NUMBER, Status, status
from tdxfuzz.abi.address import LEVEL_4K
from tdxfuzz.module.call import Call, GuestCall
from tdxfuzz.module.codes import (
    OPERAND_BUSY,
    OPERAND_BUSY_HOST_PRIORITY,
    OPERAND_INVALID,
    RAX,
)
from tdxfuzz.module.errors import LeafNotModelledError, Refused
from tdxfuzz.module.leaves.registry import GUEST_HANDLERS
from tdxfuzz.module.sept_entry import RWX, is_leaf, state_of
from tdxfuzz.module.sept_state import SeptState
from tdxfuzz.module.td_exit import (
    DATA_READ,
    DATA_WRITE,
    EPT_VIOLATION,
    EXTERNAL_INTERRUPT,
    Extended,
    HostPriorityTimeout,
    TdExit,
)

if TYPE_CHECKING:
    from tdxfuzz.abi import Registers
    from tdxfuzz.module.module import TdxModule
    from tdxfuzz.module.td import Tdr, Tdvps

FAULTS_WITHOUT_SUSPICION = 6
MAX_FAULT_GPAS = 32
_OPERAND = 0xFFFF_FFFF
_U64 = (1 << 64) - 1
_HAVE_VERSIONS = frozenset(
    leaf.number for leaf in GUEST_BY_NUMBER.values() if leaf.versions != (0,)
)


class Guest:
    """What a guest's program is given: the vCPU between its entry and its exit.

    A program is called anew on each entry; whatever ends in a TD exit does not return.
    """

    __slots__ = ("_m", "_rip_on_entry", "_tdr", "lp", "tdvps")

    def __init__(self, m: TdxModule, call: Call, tdr: Tdr, tdvps: Tdvps) -> None:
        self._m = m
        self._tdr = tdr
        self._rip_on_entry = tdvps.rip
        self.lp = call.lp
        self.tdvps = tdvps

    def tdcall(self, leaf: int, regs: Registers, version: int = 0) -> Status:
        """Execute one guest leaf; ``regs`` hold its operands and receive its outputs.

        Raises:
            TdExit: the call left for the host.
            LeafNotModelledError: the real module has the leaf, the model has not.
        """
        self.vm_exit()
        call = GuestCall(leaf, version, self.lp, regs, self._tdr, self.tdvps)
        word = self._dispatch(call)
        word = self._give_way(word)
        if call.interrupted:
            raise TdExit(EXTERNAL_INTERRUPT)
        self.tdvps.rip += 1
        return status(word)

    def access(self, gpa: int, write: bool = False) -> bool:
        """Touch private memory. False: it was a #VE, for a page not yet accepted.

        Raises:
            TdExit: an EPT violation, for the host.
        """
        tdcs = self._tdr.tdcs
        assert not gpa >> tdcs.gpa_width - 1, f"{gpa:#x} is not a private address of the TD"
        assert tdcs.sept is not None
        _, raw = tdcs.sept.walk_guest(gpa, LEVEL_4K)
        if raw & RWX and is_leaf(raw):
            self.tdvps.rip += 1
            return True

        self.vm_exit()
        extended = Extended.NONE
        _, raw = tdcs.sept.walk_guest(gpa, LEVEL_4K)
        if state_of(raw) is SeptState.PENDING:
            if not tdcs.pending_ve_disable:
                self.tdvps.rip += 1
                return False
            extended = Extended.PENDING
        self._note_fault(gpa)
        raise TdExit(EPT_VIOLATION, DATA_WRITE if write else DATA_READ, extended, gpa)

    def vm_exit(self) -> None:
        """The module takes over from the guest, if only to return to it."""
        tdvps = self.tdvps
        tdvps.last_exit_tsc = self.lp.tsc
        if tdvps.rip != self._rip_on_entry:
            tdvps.faults = 0
            tdvps.fault_gpas.clear()

    def _dispatch(self, call: GuestCall) -> int:
        if call.version > 0 and call.leaf not in _HAVE_VERSIONS:
            return OPERAND_INVALID | RAX
        handler = GUEST_HANDLERS.get(call.leaf)
        if handler is None and call.leaf in GUEST_BY_NUMBER:
            raise LeafNotModelledError(f"{GUEST_BY_NUMBER[call.leaf]} is not modelled")
        if handler is None:
            return OPERAND_INVALID | RAX
        try:
            word = handler(self._m, call)
        except Refused as refused:
            word = refused.status
        call.unwind()
        return word

    def _give_way(self, word: int) -> int:
        """Where a host has priority the guest is told BUSY, until its patience is at an end."""
        tdvps = self.tdvps
        if word & ~_OPERAND != OPERAND_BUSY_HOST_PRIORITY:
            tdvps.hp_busy_since = None
            return word
        self._m.watch.guest_gave_way()
        if tdvps.hp_busy_since is None:
            tdvps.hp_busy_since = self.lp.tsc
        elif self.lp.tsc - tdvps.hp_busy_since & _U64 >= self._tdr.tdcs.hp_lock_timeout.read():
            tdvps.hp_busy_since = None
            tdvps.rip += 1
            raise HostPriorityTimeout
        return OPERAND_BUSY | word & _OPERAND

    def _note_fault(self, gpa: int) -> None:
        """td_exit_epf_stepping_log: many faults of one instruction may be an attack."""
        tdvps = self.tdvps
        if tdvps.faults < FAULTS_WITHOUT_SUSPICION:
            tdvps.faults += 1
        elif len(tdvps.fault_gpas) < MAX_FAULT_GPAS and gpa not in tdvps.fault_gpas:
            tdvps.fault_gpas.append(gpa)
