"""irq-safety: a lock that is taken in a softirq is never taken with interrupts on, unless both
only read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.check.base import Check, kind_of
from tdxfuzz.host.kernel.hold import Context

if TYPE_CHECKING:
    from tdxfuzz.host.kernel.hold import Hold
    from tdxfuzz.sim import Outcome


class IrqSafety(Check):
    """A spinning lock is taken in a softirq, and elsewhere with interrupts on. If the softirq
    interrupts the holder on the same CPU, it waits for ever. As in lockdep, no CPU needs to
    hang, and one of the two may be a reader of an rwlock: it waits for a writer, and a writer for
    it. Locks taken in the set-up do not count, because nothing interrupts the set-up.
    """

    id = "irq-safety"
    source = "lockdep on v5 20/45: aYW5CbUvZrLogsWF@yzhao56-desk.sh.intel.com, 2026-02-06"
    witness = "a softirq took a spinning lock (a design without softirqs: a CPU called get or put)"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.seen or (not self.host.sim.softirqs and self.in_flight.range_used)

    def lock_context(self, wanted: Hold, context: Context) -> None:
        self.seen = self.seen or context is Context.SOFTIRQ
        if context is Context.IRQS_OFF:
            return
        other = Context.IRQS_ON if context is Context.SOFTIRQ else Context.SOFTIRQ
        contexts = self.host.held_locks.contexts
        for (hold, where), at in contexts.items():
            clash = hold.exclusive or wanted.exclusive
            if where is other and hold.lock is wanted.lock and clash:
                both = {context: contexts[wanted, context], other: at}
                softirq, irqs_on = both[Context.SOFTIRQ], both[Context.IRQS_ON]
                self.report(
                    f"{wanted.name} is taken in the softirq of CPU {softirq[1]} (step "
                    f"{softirq[0]}), and by CPU {irqs_on[1]} with interrupts on (step "
                    f"{irqs_on[0]})",
                    objects=kind_of(wanted.name),
                )
                return
