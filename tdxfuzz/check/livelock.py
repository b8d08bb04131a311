"""livelock: CPUs that try again get somewhere in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tdxfuzz.abi import BY_NUMBER
from tdxfuzz.check.base import NOBODY, Check
from tdxfuzz.sim import MOST_ROUNDS

if TYPE_CHECKING:
    from tdxfuzz.sim import Outcome


class LivelockCheck(Check):
    """Every CPU that can run goes round in a retry loop, and nobody gets on.

    Getting on means that an operation ends or a SEAMCALL succeeds. Taking a lock is none of
    it, for KVM's loop around a fault takes the MMU lock each time round. Nor need it be: a
    CPU that gets on by a lock passes no retry points, and every CPU that can run must have
    passed :data:`~tdxfuzz.sim.livelock.MOST_ROUNDS`. The others are done, or wait for a lock.

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
        who = " and ".join(map(str, cpus))
        told = ", ".join(
            f"{name} = {status}" for name, (_, status) in zip(leaves, refusals, strict=True)
        )
        loop = outcome.livelock.loop
        how = f"went round {MOST_ROUNDS} times in vain"
        last = outcome.steps - 1
        if loop is not None:
            last = loop[1] - 1
            how = f"can repeat steps {loop[0]} to {last} for ever"
        self.report(
            f"{who} {how}: no operation ends" + (f" ({told})" if told else ""),
            leaf=" ".join(dict.fromkeys(leaves)) or NOBODY,
            status=" ".join(dict.fromkeys(status.name for _, status in refusals)) or NOBODY,
            objects="retry loop",
            step=max(last, 0),
            cpu=cpus[0].id,
        )
