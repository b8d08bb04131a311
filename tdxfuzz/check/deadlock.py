"""deadlock: CPUs never wait for each other's host locks in a cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.check.base import Check, kind_of
from tdxfuzz.host.kernel.completion import Completion

if TYPE_CHECKING:
    from tdxfuzz.sim import Cpu, Outcome
    from tdxfuzz.sim.cpu import Blocker


def who(lock: Blocker, blocker: Cpu) -> str:
    """Who stands in the way."""
    return "nobody completes" if isinstance(lock, Completion) else f"{blocker} holds"


class DeadlockCheck(Check):
    """CPUs wait for each other's host locks in a cycle, even if another CPU can still run."""

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
                f"{cpu} waits for {lock.name}, which {who(lock, blocker)}"
                for cpu, lock, blocker in waits
            ),
            objects=" ".join(sorted({kind_of(lock.name) for _, lock, _ in waits})),
            step=outcome.steps,
        )
