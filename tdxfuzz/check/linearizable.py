"""linearizable: calls that overlap have the effect of some serial order of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations, islice
from typing import TYPE_CHECKING, ClassVar

from attrs import define, evolve

from tdxfuzz.abi import BY_NUMBER, Registers
from tdxfuzz.case.case import Case
from tdxfuzz.check.base import NOBODY, Check
from tdxfuzz.host import operations
from tdxfuzz.host.host import Host
from tdxfuzz.host.hostile import Hostile
from tdxfuzz.module.snapshot import Snapshot, snapshot
from tdxfuzz.sim import EMPTY, Declared, Rewind, Simulator

if TYPE_CHECKING:
    from tdxfuzz.abi import Status
    from tdxfuzz.check.finding import Finding
    from tdxfuzz.check.in_flight import InFlight
    from tdxfuzz.sim import Contents, Outcome

MOST_ORDERS = 200
"""Serial orders tried. A run with more of them, of which none tried fits, says nothing."""


@define
class Called:
    """A SEAMCALL of a program: what it was given, and once it has succeeded, its answer.

    ``nth`` counts the calls of its CPU from 0; ``after`` are the (CPU, nth) of those that
    had succeeded when it began.
    """

    cpu: int
    nth: int
    leaf: int
    version: int
    inputs: tuple[tuple[str, int], ...]
    after: frozenset[tuple[int, int]]
    outputs: tuple[int, ...] = ()

    STATE: ClassVar = Declared(memory="after outputs", fixed="cpu inputs leaf nth version")

    def in_key(self, read: Contents) -> tuple[object, ...]:
        # An output may be an enum, such as a page type.
        return self.id, tuple(sorted(self.after)), tuple(map(int, self.outputs))

    @property
    def id(self) -> tuple[int, int]:
        """Which of all calls it is."""
        return self.cpu, self.nth


class Linearizable(Check):
    """The calls that succeeded have no serial order with the same outputs and the same final
    state. A serial order keeps each call behind the calls that returned before it began.
    Refused calls must change nothing but host-priority bits, which are not compared.
    """

    STATE: ClassVar = Declared(memory="_done _open", derived="_made")

    id = "linearizable"
    source = "Herlihy and Wing, Linearizability, TOPLAS 1990; the module's locks promise it"
    witness = "two SEAMCALLs overlapped and both succeeded"

    def __init__(self, host: Host, in_flight: InFlight, findings: list[Finding]) -> None:
        super().__init__(host, in_flight, findings)
        self._made = Counter[int]()
        self._open: dict[int, Called] = {}
        self._done: list[Called] = []

    def calling(self, leaf: int, version: int, regs: Registers) -> None:
        if self.host.sim.running:
            cpu = self.host.sim.current.id
            inputs = tuple(regs.as_dict().items())
            after = frozenset(call.id for call in self._done)
            self._open[cpu] = Called(cpu, self._made[cpu], leaf, version, inputs, after)
            self._made[cpu] += 1

    def called(self, leaf: int, regs: Registers, status: Status) -> None:
        call = self._open.pop(self.host.sim.current.id, None)
        if call is not None and status.ok:
            call.outputs = regs.as_tuple()
            self._done.append(call)

    def in_key(self, read: Contents) -> object:
        """The calls: an order in which they returned is told by what came after what."""
        return sorted(call.in_key(read) for call in (*self._done, *self._open.values()))

    def at_rest(self, outcome: Outcome) -> None:
        if not self.in_flight.calls_met:
            return
        if self.host.module.dead is not None:
            # The answers of a module that has shut down are not outputs of the model.
            return
        overlapped = any(_overlapped(a, b) for a, b in combinations(self._done, 2))
        final = snapshot(self.host.module)
        best: tuple[int, Called | None, str] = (-1, None, "")
        orders = serial_orders(self._done)
        for order in islice(orders, MOST_ORDERS):
            fitting, call, what = self._compare(order, final)
            if not what:
                self.seen = overlapped
                return
            if fitting > best[0]:
                best = fitting, call, what
        if next(orders, None) is not None:
            return
        self.seen = overlapped
        _, call, what = best
        names = ", ".join(f"{BY_NUMBER[each.leaf]} of CPU {each.cpu}" for each in self._done)
        self.report(
            f"no serial order of the calls that succeeded ({names}) gives the same {what}",
            leaf=NOBODY if call is None else call.leaf,
            status="SUCCESS",
            objects=what,
        )

    def _compare(self, order: Sequence[Called], final: Snapshot) -> tuple[int, Called | None, str]:
        """How many calls of a serial order fit, the first call that does not, and what differs."""
        case = self.host.case
        made = tuple((call.cpu, call.leaf, call.version, call.inputs) for call in order)
        idle = evolve(case, programs=((),) * case.world.cpus, schedule=EMPTY)
        answers, state = _serially(idle, made)
        for i, (call, outputs) in enumerate(zip(order, answers, strict=True)):
            if outputs is None:
                return i, call, "status"
            if outputs != call.outputs:
                return i, call, "outputs"
        for (part, value), wanted in zip(state.items(), final.values(), strict=True):
            if part != "hp" and value != wanted:
                return len(order), None, part
        return len(order), None, ""


Made = tuple[int, int, int, tuple[tuple[str, int], ...]]
"""A call: its CPU, leaf, version and inputs."""


@lru_cache(maxsize=512)
def _serially(
    beforehand: Case, calls: tuple[Made, ...]
) -> tuple[tuple[tuple[int, ...] | None, ...], Snapshot]:
    """Make calls one after another: the outputs of each (None if it is refused), and the final
    state. The result is cached, because many orders of a case need the same few serial orders.
    """
    host, put_back = _set_up(beforehand)
    put_back()
    answers: list[tuple[int, ...] | None] = []
    for cpu, leaf, version, inputs in calls:
        regs = Registers.of(dict(inputs))
        status = host.module.seamcall(host.lps[cpu], leaf, regs, version)
        answers.append(regs.as_tuple() if status.ok else None)
    return tuple(answers), snapshot(host.module)


@lru_cache(maxsize=64)
def _set_up(beforehand: Case) -> tuple[Host, Rewind]:
    """A host after its set-up, and the way back there."""
    host = Host(Simulator(beforehand.world.cpus), beforehand, Hostile())
    for op in beforehand.setup:
        operations.run(host, op)
    return host, Rewind(host)


def _overlapped(a: Called, b: Called) -> bool:
    return a.id not in b.after and b.id not in a.after


def serial_orders(calls: Sequence[Called]) -> Iterator[list[Called]]:
    """All orders in which each call stands behind the calls that returned before it began."""
    if not calls:
        yield []
        return
    for first in calls:
        rest = [call for call in calls if call is not first]
        if not any(other.id in first.after for other in rest):
            for order in serial_orders(rest):
                yield [first, *order]
