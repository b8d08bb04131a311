"""deadlock: no CPUs wait for each other in a cycle."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tdxfuzz.check.base import Check

if TYPE_CHECKING:
    from tdxfuzz.sim import Outcome


def _kind(lock: str) -> str:
    """Which of several locks of a kind it is does not matter: ``vm0.lock`` is ``vm.lock``."""
    return re.sub(r"\d+|\[.*\]", "", lock)


class DeadlockCheck(Check):
    """A cycle of waiting for host locks, even if another CPU could still run."""

    id = "deadlock"
    source = "the AB-BA case of per-range locks, Yan Zhao, 2025-09-28"
    witness = "a CPU had to wait for a lock"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.host.sim.waits > 0
        if outcome.deadlock is None:
            return
        waits = outcome.deadlock.waits
        self.report(
            "; ".join(
                f"{cpu} waits for {lock.name}, which {blocker} holds"
                for cpu, lock, blocker in waits
            ),
            objects=" ".join(sorted({_kind(lock.name) for _, lock, _ in waits})),
            step=outcome.steps,
        )
