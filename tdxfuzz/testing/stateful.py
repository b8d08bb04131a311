"""Hypothesis machines: host operations on simulated CPUs, and SEAMCALLs one after another.

::

    TestMerged = concurrent_machine("merged").TestCase
    TestModule = SeamcallMachine.TestCase

In the first machine a rule starts an operation, or lets a CPU run for a number of steps.
Operations that are started while another one runs are concurrent with it. The invariants are
our checks. At the end the whole run is replayed as a case, and its programs are run in other
orders as well. In the second machine every rule is a whole SEAMCALL, and the module's tables must
agree after each.
"""

from __future__ import annotations

from typing import ClassVar

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tdxfuzz.case.case import MAX_OPERATIONS
from tdxfuzz.case.operation import (
    AREA_OPERATIONS,
    MAX_AREAS,
    MAX_SLOTS,
    MAX_TDS,
    RUN_OPERATIONS,
    Op,
)
from tdxfuzz.case.world import MAX_CPUS
from tdxfuzz.check.lock_leak import module_locks
from tdxfuzz.check.module_state import inconsistencies
from tdxfuzz.generate.choices import Choices
from tdxfuzz.generate.hostile_calls import hostile_case
from tdxfuzz.generate.running import VCPU, draw_script
from tdxfuzz.host import operations
from tdxfuzz.host.host import Host
from tdxfuzz.run.session import Session
from tdxfuzz.run.steered import LiveRun
from tdxfuzz.testing.assertions import DesignMistakes, assert_clean, assert_same
from tdxfuzz.testing.designs import AnyDesign, AnyKvm, named
from tdxfuzz.testing.profiles import most_orders
from tdxfuzz.testing.strategies import SCRIPT_CHOICES, seamcalls, setups, starts_of

CPU = st.integers(0, MAX_CPUS - 1)
TD = st.integers(0, MAX_TDS - 1)
SLOT = st.integers(0, MAX_SLOTS - 1)
AREA = st.integers(0, MAX_AREAS - 1)
STEPS = st.one_of(st.none(), st.integers(0, 250))
"""Steps until the next decision; None: until the operation ends or has to wait."""

STEERED = 4
"""Of the orders of an example, one in so many: here the rules have chosen an order already, and
the programs are long."""


class ConcurrentMachine(RuleBasedStateMachine):
    """Operations come and go on two CPUs; subclass it, or call :func:`concurrent_machine`.

    Class attributes: ``design`` (a built-in one by name, a class, or ``"FILE.py:Class"``),
    ``cpus``, and ``kvm`` (a class derived from ``Kvm``, or ``"FILE.py:Class"``).
    """

    design: ClassVar[AnyDesign] = "merged"
    cpus: ClassVar[int] = 2
    kvm: ClassVar[AnyKvm | None] = None

    live: LiveRun | None = None

    @initialize(data=st.data())
    def build(self, data: st.DataObject) -> None:
        """A world with some TDs, and some of their pages mapped. Some have 2MB pages, and in some
        the TDs run.
        """
        __tracebackhide__ = True
        layer = named(self.design, self.kvm)
        start = data.draw(starts_of(layer.name, self.cpus))
        self.world = start.world
        self._layer = layer.design
        self._alive = {op.args[0] for op in start.setup if op.name == "create"}
        self._mapped = {op.args for op in start.setup if op.name == "map"}
        self._running = {op.args[0] for op in start.setup if op.name == "finalize"}
        with DesignMistakes(self._layer):
            self.live = LiveRun(layer.name, start.world, start.setup, layer.design)

    @rule(cpu=CPU, td=TD, steps=STEPS)
    def create(self, cpu: int, td: int, steps: int | None) -> None:
        """A CPU starts to create a TD."""
        __tracebackhide__ = True
        self._start(cpu, Op("create", (self._td(td),)), steps)

    @rule(cpu=CPU, td=TD, steps=STEPS)
    def destroy(self, cpu: int, td: int, steps: int | None) -> None:
        """A CPU starts to destroy a TD."""
        __tracebackhide__ = True
        self._start(cpu, Op("destroy", (self._td(td),)), steps)

    @rule(cpu=CPU, td=TD, steps=STEPS)
    def terminate(self, cpu: int, td: int, steps: int | None) -> None:
        """A CPU starts to terminate a TD: its HKID goes before its pages."""
        __tracebackhide__ = True
        self._start(cpu, Op("terminate", (self._td(td),)), steps)

    @rule(cpu=CPU, td=TD, slot=SLOT, steps=STEPS)
    def map(self, cpu: int, td: int, slot: int, steps: int | None) -> None:
        """A CPU starts to map a guest page."""
        __tracebackhide__ = True
        self._start(cpu, Op("map", self._page(td, slot)), steps)

    @rule(cpu=CPU, td=TD, slot=SLOT, steps=STEPS)
    def zap(self, cpu: int, td: int, slot: int, steps: int | None) -> None:
        """A CPU starts to zap a guest page."""
        __tracebackhide__ = True
        self._start(cpu, Op("zap", self._page(td, slot)), steps)

    @rule(cpu=CPU, td=TD, name=st.sampled_from(AREA_OPERATIONS), area=AREA, steps=STEPS)
    def use_area(self, cpu: int, td: int, name: str, area: int, steps: int | None) -> None:
        """A CPU starts to map, split, zap or merge a 2MB page, if the world has any."""
        __tracebackhide__ = True
        areas = self.world.areas
        op = Op(name, (self._td(td), area % areas)) if areas else Op("map", self._page(td, area))
        self._start(cpu, op, steps)

    @rule(cpu=CPU, td=TD, choices=SCRIPT_CHOICES, steps=STEPS)
    def enter(self, cpu: int, td: int, choices: Choices, steps: int | None) -> None:
        """A CPU starts to run a vCPU, if the TD runs."""
        __tracebackhide__ = True
        script = draw_script(choices, self.world)
        self._start(cpu, Op("enter", (self._td(td), VCPU, script)), steps)

    @rule(cpu=CPU, td=TD, to=CPU, steps=STEPS)
    def migrate(self, cpu: int, td: int, to: int, steps: int | None) -> None:
        """The thread of a vCPU goes to another CPU, if the TD runs."""
        __tracebackhide__ = True
        self._start(cpu, Op("migrate", (self._td(td), VCPU, to % self.world.cpus)), steps)

    @rule(cpu=CPU, steps=STEPS)
    def go_on(self, cpu: int, steps: int | None) -> None:
        """A CPU goes on with the operation it is in; if there is none, one starts."""
        __tracebackhide__ = True
        assert self.live is not None
        under_way = self.live.under_way()
        if not under_way:
            self._start(cpu, Op("map", self._page(cpu, 0)), steps)
            return
        with DesignMistakes(self._layer):
            self.live.go_on(under_way[cpu % len(under_way)], steps)

    @invariant()
    def nothing_is_broken(self) -> None:
        """No check has found anything; if one has, the case says what."""
        __tracebackhide__ = True
        if self.live is not None and self.live.findings:
            self._replay()

    def teardown(self) -> None:
        """Everything that was started ends; then the checks of a run at rest have a say."""
        __tracebackhide__ = True
        if self.live is not None:
            self._replay()

    def _td(self, number: int) -> int:
        return number % self.world.tds

    def _page(self, td: int, slot: int) -> tuple[int, int]:
        return self._td(td), slot % self.world.slots

    def _start(self, cpu: int, op: Op, steps: int | None) -> None:
        """An idle CPU starts an operation; if none is idle, one goes on with its own.

        Always possible: Hypothesis switches rules off at random, and an example in which
        no rule applies is lost.
        """
        __tracebackhide__ = True
        assert self.live is not None
        idle = self.live.idle()
        if self.live.operations == MAX_OPERATIONS:
            idle = []
        if not idle:
            if self.live.under_way():
                self.go_on(cpu, steps)
            return
        fitting = self._fitting(op)
        with DesignMistakes(self._layer):
            self.live.start(idle[cpu % len(idle)], fitting, steps)

    def _fitting(self, op: Op) -> Op:
        """The operation, or another one on the same TD if it would do nothing.

        With the rules alone, three of four examples had no two CPUs that met.
        """
        td = op.args[0]
        if td not in self._alive:
            self._alive.add(td)
            return Op("create", (td,))
        if op.name == "destroy":
            self._alive.discard(td)
            self._running.discard(td)
            self._mapped = {page for page in self._mapped if page[0] != td}
            return op
        if op.name == "terminate":
            self._running.discard(td)
            return op
        if op.name in AREA_OPERATIONS or (op.name in RUN_OPERATIONS and td in self._running):
            return op
        page = op.args if op.name in ("map", "zap") else (td, 0)
        if page in self._mapped:
            self._mapped.discard(page)
            return Op("zap", page)
        self._mapped.add(page)
        return Op("map", page)

    def _replay(self) -> None:
        """The steered run as a case: it does the same, and its programs are clean."""
        __tracebackhide__ = True
        assert self.live is not None
        live, self.live = self.live, None
        with DesignMistakes(self._layer):
            case, steered = live.finish()
            assert_same(steered, case, self._layer)
        assert_clean(case, self._layer, most_orders() // STEERED)


def concurrent_machine(
    design: AnyDesign, cpus: int = 2, kvm: AnyKvm | None = None
) -> type[ConcurrentMachine]:
    """The machine for one design; its ``TestCase`` is what pytest runs.

    Args:
        design: a built-in one by name, a class, or ``"FILE.py:Class"``.
        cpus: CPUs of each world.
        kvm: what it runs under: a class derived from ``Kvm``, or ``"FILE.py:Class"``.

    Raises:
        UnknownDesignError, DesignFileError, TypeError: there is no such design.
    """
    name = f"ConcurrentMachine_{named(design, kvm).name}"
    return type(name, (ConcurrentMachine,), {"design": design, "cpus": cpus, "kvm": kvm})


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
