"""A check: an observer of a run that knows one invariant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from tdxfuzz.abi import BY_NUMBER
from tdxfuzz.case.names import with_names
from tdxfuzz.check.finding import WARN, Finding
from tdxfuzz.host.watch import HostWatch
from tdxfuzz.sim import Declared

if TYPE_CHECKING:
    from tdxfuzz.check.in_flight import InFlight
    from tdxfuzz.host.host import Host
    from tdxfuzz.sim import Outcome

NOBODY = "-"


def kind_of(lock: str) -> str:
    """The kind of a lock: its name without numbers. ``vm0.lock`` and ``vm1.lock`` are
    ``vm.lock``.
    """
    return re.sub(r"\d+|\[.*\]", "", lock)


class Check(HostWatch):
    """One invariant. Subclasses override the hooks of host and module that they need.

    ``source`` says where the rule comes from. ``witness`` describes the situation in which
    the rule can be broken. A check sets ``seen`` when it meets that situation. A clean run
    without it says nothing about the rule. ``in_flight``
    knows what overlaps, which most witnesses are about. What it remembers of the run so far and may
    need for a later finding is declared as memory: two states are equal only if that is equal too.
    """

    STATE: ClassVar = Declared(tally="seen", fixed="_findings host in_flight")

    id: ClassVar[str]
    source: ClassVar[str]
    witness: ClassVar[str]

    def __init__(self, host: Host, in_flight: InFlight, findings: list[Finding]) -> None:
        self.host = host
        self.in_flight = in_flight
        self.seen = False
        self._findings = findings

    def at_rest(self, outcome: Outcome) -> None:
        """Every program has ended, and no check has a finding so far."""

    def stopped(self, outcome: Outcome) -> None:
        """The run has ended: at rest, in a deadlock, at its bound, or in any other way."""

    def report(
        self,
        message: str,
        leaf: int | str | None = None,
        status: str = NOBODY,
        objects: str = NOBODY,
        step: int | None = None,
        cpu: int | None = None,
    ) -> None:
        """Record a finding. By default it belongs to the current CPU and the last step. Its message
        calls locks and pages by name; what a design said stays as it was said.
        """
        sim = self.host.sim
        if isinstance(leaf, int):
            leaf = BY_NUMBER[leaf].name
        last = max(sim.clock - 1, 0)
        found = Finding(
            check=self.id,
            leaf=leaf or NOBODY,
            status=status,
            objects=objects,
            step=last if step is None else step,
            cpu=sim.current.id if cpu is None else cpu,
            message=message if status == WARN else with_names(message),
        )
        self._findings.append(found)
        sim.record(last, "finding", found.bucket)
