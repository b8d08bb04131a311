"""irq-safety: a lock that is taken in a softirq is never taken with interrupts on."""

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
    hang. Locks taken in the set-up do not count, because nothing interrupts the set-up.
    """

    id = "irq-safety"
    source = "lockdep on v5 20/45: aYW5CbUvZrLogsWF@yzhao56-desk.sh.intel.com, 2026-02-06"
    witness = "a softirq took a spinning lock (a design without softirqs: a CPU called get or put)"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.seen or (not self.host.sim.softirqs and self.in_flight.range_used)

    def lock_context(self, wanted: Hold, context: Context) -> None:
        contexts = self.host.held_locks.contexts
        self.seen = self.seen or context is Context.SOFTIRQ
        softirq = contexts.get((wanted, Context.SOFTIRQ))
        irqs_on = contexts.get((wanted, Context.IRQS_ON))
        if softirq is not None and irqs_on is not None and context is not Context.IRQS_OFF:
            self.report(
                f"{wanted.name} is taken in the softirq of CPU {softirq[1]} (step {softirq[0]}), "
                f"and by CPU {irqs_on[1]} with interrupts on (step {irqs_on[0]})",
                objects=kind_of(wanted.name),
            )
