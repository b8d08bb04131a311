"""livelock: CPUs in retry loops make progress in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi import BY_NUMBER
from tdxfuzz.check.base import NOBODY, Check

if TYPE_CHECKING:
    from tdxfuzz.sim import Outcome


class LivelockCheck(Check):
    """Every CPU that can run goes round in a retry loop, and no CPU makes progress.

    Progress means that an operation ends or a SEAMCALL succeeds. Taking a lock is not progress,
    because KVM's loop around a fault takes the MMU lock each time round. It need not count
    either: a CPU that waits for a lock and then goes on passes no retry points. The check fires
    only if every CPU that can run has passed some of them, and the run is in the same state again.
    The other CPUs are done or wait for a lock.

    The bucket names the SEAMCALLs that were refused in the last round, if any were.
    """

    id = "livelock"
    source = 'review of v3: "a very strange spinlock with a heavyweight inner loop"'
    witness = "a CPU went round in a retry loop"

    def stopped(self, outcome: Outcome) -> None:
        self.seen = self.host.sim.rounds.total > 0
        if outcome.livelock is None:
            return
        cpus = outcome.livelock.cpus
        refusals = sorted({refusal for cpu in cpus if (refusal := self.host.retried[cpu.id])})
        leaves = [BY_NUMBER[leaf].name for leaf, _ in refusals]
        names = " and ".join(map(str, cpus))
        told = ", ".join(
            f"{name} = {status}" for name, (_, status) in zip(leaves, refusals, strict=True)
        )
        loop = outcome.livelock.loop
        how = "can go round a retry loop for ever: no operation ends"
        last = outcome.steps - 1
        if loop is not None:
            last = loop[1] - 1
            how = f"can repeat steps {loop[0]} to {last} for ever: no operation ends"
        self.report(
            f"{names} {how}" + (f": {told}" if told else ""),
            leaf=" ".join(dict.fromkeys(leaves)) or NOBODY,
            status=" ".join(dict.fromkeys(status.name for _, status in refusals)) or NOBODY,
            objects="retry loop",
            step=max(last, 0),
            cpu=cpus[0].id,
        )
