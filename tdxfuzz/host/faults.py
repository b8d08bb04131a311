"""SEAMCALLs that go wrong because the case says so: the kinds are in :mod:`tdxfuzz.case.faults`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import OPERANDS, code, find, status
from tdxfuzz.case.faults import BUSY, ENTROPY, INTERRUPT, KINDS, REFUSE
from tdxfuzz.sim import RMW, Declared, Fault, NamedCell

if TYPE_CHECKING:
    from tdxfuzz.abi import Status
    from tdxfuzz.module.call import LogicalProcessor
    from tdxfuzz.sim import Simulator

PAMT_LEAVES = (find("TDH.PHYMEM.PAMT.ADD").number, find("TDH.PHYMEM.PAMT.REMOVE").number)
ENTROPY_RETRIES = 10
"""``RDRAND_RETRY_LOOPS`` in ``sc_retry``, arch/x86/include/asm/tdx.h."""

REFUSED = status(code("OPERAND_BUSY") | OPERANDS["RCX"])
NO_ENTROPY = status(code("RND_NO_ENTROPY"))


class CallCounter(NamedCell):
    """The number of the next SEAMCALL, where it decides whether that goes wrong."""

    __slots__ = ()


class SeamcallFaults:
    """The faults of a case that are about SEAMCALLs.

    ``calls`` and ``pamt_calls`` count what was made of them; the order of all SEAMCALLs
    matters where one is picked out by its number, so that counting is a step there.
    """

    STATE: ClassVar = Declared(
        shared="calls pamt_calls", parts="_counter", fixed="_by_kind _counts_all any"
    )

    def __init__(self, sim: Simulator, faults: Iterable[Fault]) -> None:
        self.calls = 0
        self.pamt_calls = 0
        by_kind = {kind: {f.index for f in faults if f.kind == kind} for kind in KINDS}
        self._by_kind = by_kind
        self._counter = CallCounter(sim, "SEAMCALL counter")
        self._counts_all = any(by_kind[kind] for kind in (REFUSE, ENTROPY, INTERRUPT))
        self.any = self._counts_all or bool(by_kind[BUSY])

    def answer(self, leaf: int, lp: LogicalProcessor) -> Status | None:
        """What a SEAMCALL answers in place of the module; None: the module shall."""
        sim = self._counter.sim
        lp.interrupt_pending = False
        if not sim.running:
            return None
        if leaf in PAMT_LEAVES:
            self.pamt_calls += 1
            if self.pamt_calls - 1 in self._by_kind[BUSY]:
                return REFUSED
        if not self._counts_all:
            return None
        for _ in range(ENTROPY_RETRIES):
            sim.step(self._counter, RMW)
            index = self.calls
            self.calls += 1
            if index in self._by_kind[REFUSE]:
                return REFUSED
            lp.interrupt_pending = index in self._by_kind[INTERRUPT]
            if index not in self._by_kind[ENTROPY]:
                return None
        return NO_ENTROPY
