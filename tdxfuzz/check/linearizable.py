"""linearizable: calls that overlapped have done what some serial order would have done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from attrs import define

from tdxfuzz.abi import BY_NUMBER, Registers
from tdxfuzz.check.base import NOBODY, Check
from tdxfuzz.host import operations
from tdxfuzz.host.host import Host
from tdxfuzz.module.snapshot import Snapshot, snapshot
from tdxfuzz.sim import Simulator

if TYPE_CHECKING:
    from tdxfuzz.abi import Status
    from tdxfuzz.check.finding import Finding
    from tdxfuzz.sim import Outcome

MOST_ORDERS = 200
"""Serial orders tried; a run with more of them that fit none says nothing."""


@define
class Called:
    """A SEAMCALL of a program: what it was given, and once it has returned, its answer.

    ``began`` and ``ended`` number the beginnings and ends of all calls.
    """

    cpu: int
    leaf: int
    version: int
    inputs: Mapping[str, int]
    began: int
    ended: int = -1
    outputs: tuple[int, ...] = ()


class Linearizable(Check):
    """The calls that succeeded have a serial order, each after those that had returned
    before it began, with the same outputs and the same final state. Calls that were
    refused change nothing but host-priority bits, which are left aside.
    """

    id = "linearizable"
    source = "Herlihy and Wing, Linearizability, TOPLAS 1990; the module's locks promise it"
    witness = "two SEAMCALLs that succeeded overlapped"

    def __init__(self, host: Host, findings: list[Finding]) -> None:
        super().__init__(host, findings)
        self._events = 0
        self._open: dict[int, Called] = {}
        self._done: list[Called] = []

    def calling(self, leaf: int, version: int, regs: Registers) -> None:
        if self.host.sim.running:
            cpu = self.host.sim.current.id
            self._events += 1
            self._open[cpu] = Called(cpu, leaf, version, regs.as_dict(), self._events)

    def called(self, leaf: int, regs: Registers, status: Status) -> None:
        call = self._open.pop(self.host.sim.current.id, None)
        if call is not None and status.ok:
            self._events += 1
            call.ended = self._events
            call.outputs = regs.as_tuple()
            self._done.append(call)

    def at_rest(self, outcome: Outcome) -> None:
        if not self.host.calls_met:
            return
        self.seen = any(a.began < b.began < a.ended for a in self._done for b in self._done)
        final = snapshot(self.host.module)
        best: tuple[int, Called | None, str] = (-1, None, "")
        tried = 0
        for order in islice(serial_orders(self._done), MOST_ORDERS):
            tried += 1
            fitting, call, what = self._compare(order, final)
            if not what:
                return
            if fitting > best[0]:
                best = fitting, call, what
        if tried == MOST_ORDERS:
            return
        _, call, what = best
        names = ", ".join(f"{BY_NUMBER[each.leaf]} of CPU {each.cpu}" for each in self._done)
        self.report(
            f"no serial order of the calls that succeeded ({names}) gives the same {what}",
            leaf=NOBODY if call is None else call.leaf,
            status="SUCCESS",
            objects=what,
        )

    def _compare(self, order: Sequence[Called], final: Snapshot) -> tuple[int, Called | None, str]:
        """How many calls of a serial order fit, the first that does not, and what differs."""
        host = _beforehand(self.host)
        for i, call in enumerate(order):
            regs = Registers.of(call.inputs)
            status = host.module.seamcall(host.lps[call.cpu], call.leaf, regs, call.version)
            if not status.ok:
                return i, call, "status"
            if regs.as_tuple() != call.outputs:
                return i, call, "outputs"
        state = snapshot(host.module)
        for (part, value), wanted in zip(state.items(), final.values(), strict=True):
            if part != "hp" and value != wanted:
                return len(order), None, part
        return len(order), None, ""


def _beforehand(host: Host) -> Host:
    """The host as it was before the programs began: built once more."""
    again = Host(Simulator(len(host.sim.cpus)), host.case, type(host.layer)())
    again.pages.armed = False
    for op in host.case.setup:
        operations.run(again, op)
    return again


def serial_orders(calls: Sequence[Called]) -> Iterator[list[Called]]:
    """All orders in which no call comes before one that had returned when it began."""
    if not calls:
        yield []
        return
    for first in sorted(calls, key=lambda call: call.ended):
        rest = [call for call in calls if call is not first]
        if all(first.began < other.ended for other in rest):
            for order in serial_orders(rest):
                yield [first, *order]
