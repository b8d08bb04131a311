"""atomic-sleep: nothing that may sleep is called under a spinning lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.check.base import Check, kind_of

if TYPE_CHECKING:
    from tdxfuzz.sim import Outcome


class AtomicSleep(Check):
    """A CPU calls something that may sleep (an allocation with GFP_KERNEL, a mutex) while it
    holds a spinlock or rwlock, has interrupts or preemption off, or in a softirq.

    Where KVM calls ``get`` with its MMU lock held, it passes a cache to draw from. The
    bucket names the call and the spinning lock that was taken last, because the same mistake
    can be made with more locks around it.
    """

    id = "atomic-sleep"
    source = "might_sleep() in alloc_pages and mutex_lock; v6 08/11: caches for the MMU lock"
    witness = "get was called with the MMU lock held"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.in_flight.gets_in_atomic

    def slept_in_atomic(self, what: str) -> None:
        cpu = self.host.sim.current
        spinning = [hold for hold in self.host.held_locks.of[cpu.id] if hold.spins]
        if spinning:
            where, kind = f"with {spinning[-1].name} held", f"under {kind_of(spinning[-1].name)}"
        elif cpu.on != cpu.id:
            where = kind = "in a softirq"
        elif cpu.irqs_off:
            where = kind = "with interrupts off"
        elif self.host.held_locks.no_preemption[cpu.id]:
            where = kind = "with preemption off"
        else:
            where = kind = "in RCU"
        self.report(
            f"CPU {cpu.on} calls {what} {where}, but the call may sleep",
            objects=f"{what.partition('(')[0]} {kind}",
        )
