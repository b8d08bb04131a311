"""What a check is: an observer that knows one invariant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import BY_NUMBER
from tdxfuzz.check.finding import Finding
from tdxfuzz.host.watch import HostWatch

if TYPE_CHECKING:
    from tdxfuzz.check.in_flight import InFlight
    from tdxfuzz.host.host import Host
    from tdxfuzz.sim import Outcome

NOBODY = "-"


def kind_of(lock: str) -> str:
    """Which of several locks of a kind it is does not matter: ``vm0.lock`` is ``vm.lock``."""
    return re.sub(r"\d+|\[.*\]", "", lock)


class Check(HostWatch):
    """One invariant. Subclasses override the hooks of host and module they need.

    ``source`` says where the rule comes from. ``witness`` describes the interesting
    situation without which a clean run says nothing about the rule; a check sets
    ``seen`` when it meets it. ``in_flight`` knows what overlaps, which most witnesses are about.
    """

    id: ClassVar[str]
    source: ClassVar[str]
    witness: ClassVar[str]

    def __init__(self, host: Host, in_flight: InFlight, findings: list[Finding]) -> None:
        self.host = host
        self.in_flight = in_flight
        self.seen = False
        self._findings = findings

    def remembers(self) -> tuple[object, ...]:
        """What it remembers of the way here that may matter for a finding yet to come: ints,
        strings, and tuples of them. Two states are the same only if this is.
        """
        return ()

    def at_rest(self, outcome: Outcome) -> None:
        """Every program has ended, and nothing was found so far."""

    def stopped(self, outcome: Outcome) -> None:
        """The run has ended, in whatever way."""

    def report(
        self,
        message: str,
        leaf: int | str | None = None,
        status: str = NOBODY,
        objects: str = NOBODY,
        step: int | None = None,
        cpu: int | None = None,
    ) -> None:
        """Note a finding, by default of the current CPU at the step just performed."""
        sim = self.host.sim
        if isinstance(leaf, int):
            leaf = BY_NUMBER[leaf].name
        self._findings.append(
            Finding(
                check=self.id,
                leaf=leaf or NOBODY,
                status=status,
                objects=objects,
                step=max(sim.clock - 1, 0) if step is None else step,
                cpu=sim.current.id if cpu is None else cpu,
                message=message,
            )
        )
