"""Hypothesis machines: host operations on simulated CPUs, and SEAMCALLs one after another.

::

    TestMerged = concurrent_machine("merged").TestCase
    TestModule = SeamcallMachine.TestCase

In the first machine a rule starts an operation, or lets a CPU run for a number of steps.
Operations that are started while another one runs are concurrent with it. The invariants are
our checks. At the end the whole run is replayed as a case, shrunk, and written as a
reproducer. In the second machine every rule is a whole SEAMCALL, and the module's tables must
agree after each.
"""

from __future__ import annotations

from typing import ClassVar

from hypothesis import event, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tdxfuzz.case.case import MAX_OPERATIONS
from tdxfuzz.case.operation import MAX_SLOTS, MAX_TDS, OPERATIONS, Op
from tdxfuzz.case.world import MAX_CPUS
from tdxfuzz.check.lock_leak import module_locks
from tdxfuzz.check.module_state import inconsistencies
from tdxfuzz.generate.hostile_calls import hostile_case
from tdxfuzz.host import operations
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.host import Host
from tdxfuzz.run.session import Design, Session
from tdxfuzz.run.steered import LiveRun
from tdxfuzz.testing.assertions import assert_clean, assert_same
from tdxfuzz.testing.strategies import programs, seamcalls, setups

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
        note(f"as a case: {case}")
        assert_same(steered, case, self.design)
        assert_clean(case, self.design)


def concurrent_machine(
    design_name: str, design: Design = None, cpus: int = 2
) -> type[ConcurrentMachine]:
    """The machine for one design; its ``TestCase`` is what pytest runs."""
    members = {"design_name": design_name, "design": design, "cpus": cpus}
    return type(f"ConcurrentMachine_{design_name}", (ConcurrentMachine,), members)


class SeamcallMachine(RuleBasedStateMachine):
    """Raw SEAMCALLs from one CPU, after a set-up: whatever a host calls, the model's tables
    agree with each other and no lock is left behind.
    """

    host: Host | None = None

    @initialize(setup=setups())
    def build(self, setup: str) -> None:
        """A world with what the set-up left."""
        self.setup = setup
        self.calls: list[Op] = []
        self.host = Session(hostile_case(setup, 1, ((),))).host

    @rule(data=st.data())
    def call(self, data: st.DataObject) -> None:
        """One SEAMCALL, with operands that meant something after the set-up."""
        assert self.host is not None
        op = data.draw(seamcalls(self.setup))
        if len(self.calls) < MAX_OPERATIONS // 2:
            self.calls.append(op)
            event(f"{op.name}: {operations.seamcall(self.host, op).name}")

    @invariant()
    def the_tables_agree(self) -> None:
        """No table of the module contradicts another, and every lock is free."""
        if self.host is None:
            return
        wrong = [message for _, message in inconsistencies(self.host.module)]
        wrong += [f"{lock.name} is still held" for lock in module_locks(self.host) if lock.is_held]
        if wrong or self.host.module.dead is not None:
            assert_clean(hostile_case(self.setup, 1, (tuple(self.calls),)))
            calls = "; ".join(map(str, self.calls))
            raise AssertionError(f"after set-up {self.setup} and {calls}: {'; '.join(wrong)}")

    def teardown(self) -> None:
        """The same calls as a case are clean, and the same for the checks of hostile runs."""
        if self.host is not None and self.calls:
            assert_clean(hostile_case(self.setup, 1, (tuple(self.calls),)))
