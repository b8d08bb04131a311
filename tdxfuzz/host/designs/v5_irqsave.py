"""v5 with the lock that its softirq needs: proposed when lockdep complained, not taken."""

from __future__ import annotations

from tdxfuzz.host.designs.v5 import V5


class V5Irqsave(V5):
    """Like ``v5``, but with spin_lock_irqsave. The objection: with four CPUs waiting, interrupts
    are off for three times the 18us of the slowest ADD.
    """

    message_id = "aYW5CbUvZrLogsWF@yzhao56-desk.sh.intel.com"

    def setup(self) -> None:
        self.pamt_lock = self.spinlock("pamt_lock", irqsave=True)
