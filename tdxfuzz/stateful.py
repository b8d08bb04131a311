"""A Hypothesis machine whose rules start host operations on simulated CPUs.

::

    TestMerged = concurrent_machine("merged").TestCase

Rules start operations and let CPUs go on for a number of steps; what is started while
another operation is under way runs concurrently with it. The invariants are our checks.
At the end the whole run is replayed as a case, shrunk, and written as a reproducer.
"""

from __future__ import annotations

from typing import ClassVar

from hypothesis import event, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tdxfuzz.assertions import assert_clean, assert_same
from tdxfuzz.check.run import Design
from tdxfuzz.host.case import MAX_CPUS, MAX_OPERATIONS
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.op import MAX_SLOTS, MAX_TDS, OPERATIONS, Op
from tdxfuzz.live import LiveRun
from tdxfuzz.strategies import programs

CPU = st.integers(0, MAX_CPUS - 1)
TD = st.integers(0, MAX_TDS - 1)
SLOT = st.integers(0, MAX_SLOTS - 1)
STEPS = st.one_of(st.none(), st.integers(0, 250))
"""Steps until the next decision; None: until the operation ends or has to wait."""


class ConcurrentMachine(RuleBasedStateMachine):
    """Operations come and go on two CPUs; subclass it, or call :func:`concurrent_machine`.

    Class attributes: ``design_name``, ``design`` (a class of the user's, else None) and
    ``cpus``.
    """

    design_name: ClassVar[str] = "merged"
    design: ClassVar[type[RefcountLayer] | None] = None
    cpus: ClassVar[int] = 2

    live: LiveRun | None = None

    @initialize(data=st.data())
    def build(self, data: st.DataObject) -> None:
        """A world with some TDs, and some of their pages mapped."""
        start = data.draw(programs(self.design_name, self.cpus))
        self.world = start.world
        self.live = LiveRun(self.design_name, start.world, start.setup, self.design)

    @rule(cpu=CPU, td=TD, steps=STEPS)
    def create(self, cpu: int, td: int, steps: int | None) -> None:
        """A CPU starts to create a TD."""
        self._start(cpu, "create", td=td, steps=steps)

    @rule(cpu=CPU, td=TD, steps=STEPS)
    def destroy(self, cpu: int, td: int, steps: int | None) -> None:
        """A CPU starts to destroy a TD."""
        self._start(cpu, "destroy", td=td, steps=steps)

    @rule(cpu=CPU, td=TD, slot=SLOT, steps=STEPS)
    def map(self, cpu: int, td: int, slot: int, steps: int | None) -> None:
        """A CPU starts to map a guest page."""
        self._start(cpu, "map", td=td, slot=slot, steps=steps)

    @rule(cpu=CPU, td=TD, slot=SLOT, steps=STEPS)
    def zap(self, cpu: int, td: int, slot: int, steps: int | None) -> None:
        """A CPU starts to zap a guest page."""
        self._start(cpu, "zap", td=td, slot=slot, steps=steps)

    @rule(cpu=CPU, steps=STEPS)
    def go_on(self, cpu: int, steps: int | None) -> None:
        """A CPU goes on with the operation it is in, if any."""
        assert self.live is not None
        under_way = self.live.under_way()
        if under_way:
            self.live.go_on(under_way[cpu % len(under_way)], steps)

    @invariant()
    def nothing_is_broken(self) -> None:
        """No check has found anything; if one has, the case says what."""
        if self.live is not None and self.live.findings:
            self._replay()

    def teardown(self) -> None:
        """Everything that was started ends; then the checks of a run at rest have a say."""
        if self.live is not None:
            self._replay()

    def _start(self, cpu: int, name: str, td: int, steps: int | None, slot: int = 0) -> None:
        """An idle CPU starts an operation; if none is idle, one goes on with its own.

        Always possible: Hypothesis switches rules off at random, and an example in which
        no rule applies is lost.
        """
        assert self.live is not None
        idle = self.live.idle()
        if not idle or self.live.operations == MAX_OPERATIONS:
            self.go_on(cpu, steps)
            return
        values = {"td": td % self.world.tds, "slot": slot % self.world.slots}
        op = Op(name, tuple(values[argument] for argument in OPERATIONS[name]))
        self.live.start(idle[cpu % len(idle)], op, steps)

    def _replay(self) -> None:
        """The steered run as a case: it does the same, and it is clean."""
        assert self.live is not None
        live, self.live = self.live, None
        case, steered = live.finish()
        event(f"contention: {steered.contention.name.lower()}")
        note(f"as a case: {case}")
        assert_same(steered, case, self.design)
        assert_clean(case, self.design)


def concurrent_machine(
    design_name: str, design: Design = None, cpus: int = 2
) -> type[ConcurrentMachine]:
    """The machine for one design; its ``TestCase`` is what pytest runs."""
    members = {"design_name": design_name, "design": design, "cpus": cpus}
    return type(f"ConcurrentMachine_{design_name}", (ConcurrentMachine,), members)
