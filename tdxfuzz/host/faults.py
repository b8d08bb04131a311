"""SEAMCALLs that go wrong because the case says so: the kinds are in :mod:`tdxfuzz.case.faults`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import OPERANDS, code, find, status
from tdxfuzz.case.faults import ALLOC, BUSY, ENTROPY, INTERRUPT, REFUSE
from tdxfuzz.case.faults import PAMT_LEAVES as PAMT_NAMES
from tdxfuzz.sim import RMW, Declared, Fault, NamedCell

if TYPE_CHECKING:
    from tdxfuzz.abi import Status
    from tdxfuzz.module.call import LogicalProcessor
    from tdxfuzz.sim import Simulator

PAMT_LEAVES = tuple(find(name).number for name in PAMT_NAMES)
ENTROPY_RETRIES = 10
"""``RDRAND_RETRY_LOOPS`` in ``sc_retry``, arch/x86/include/asm/tdx.h."""

ANY, PAMT = -1, -2
"""In place of a leaf's number: a fault counts the calls of all, or of PAMT.ADD and REMOVE."""

REFUSED = status(code("OPERAND_BUSY") | OPERANDS["RCX"])
NO_ENTROPY = status(code("RND_NO_ENTROPY"))


class CallCounter(NamedCell):
    """The number of the next SEAMCALL, where it decides whether that goes wrong."""

    __slots__ = ()


class SeamcallFaults:
    """The faults of a case that are about SEAMCALLs.

    ``made`` counts SEAMCALLs, as far as a fault asks: those of a leaf by its number, all as
    ``ANY``, and those of PAMT pages as ``PAMT``. The order of SEAMCALLs matters where one is picked
    out by its number, so that counting is a step.
    """

    STATE: ClassVar = Declared(shared="made", parts="_counter", fixed="_faults any")

    def __init__(self, sim: Simulator, faults: Iterable[Fault]) -> None:
        own = [fault for fault in faults if fault.kind != ALLOC]
        self._faults = {(_counted_as(fault), fault.index, fault.kind) for fault in own}
        self.made = {counted: 0 for counted, _, _ in sorted(self._faults)}
        self._counter = CallCounter(sim, "SEAMCALL counter")
        self.any = bool(own)

    def answer(self, leaf: int, lp: LogicalProcessor) -> Status | None:
        """What a SEAMCALL answers in place of the module; None: the module shall."""
        sim = self._counter.sim
        lp.interrupt_pending = False
        if not sim.running:
            return None
        counted = [what for what in (leaf, ANY) if what in self.made]
        if leaf in PAMT_LEAVES and PAMT in self.made:
            counted.append(PAMT)
        if not counted:
            return None
        for _ in range(ENTROPY_RETRIES):
            sim.step(self._counter, RMW)
            now = [(what, self.made[what]) for what in counted]
            kinds = {kind for what, index, kind in self._faults if (what, index) in now}
            for what in counted:
                self.made[what] += 1
            if REFUSE in kinds or BUSY in kinds:
                return REFUSED
            lp.interrupt_pending = INTERRUPT in kinds
            if ENTROPY not in kinds:
                return None
        return NO_ENTROPY

    def met(self, fault: Fault) -> bool:
        """Whether the SEAMCALL that one of the faults is about was made by now."""
        return self.made[_counted_as(fault)] > fault.index


def _counted_as(fault: Fault) -> int:
    """Which SEAMCALLs a fault counts."""
    if fault.only:
        return find(fault.only).number
    return PAMT if fault.kind == BUSY else ANY
