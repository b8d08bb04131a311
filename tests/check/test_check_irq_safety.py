"""irq-safety: told where lockdep told it, and where a softirq sleeps."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host.design import RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.designs.v5 import V5
from tdxfuzz.host.designs.v5_irqsave import V5Irqsave
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.sim import End, Schedule
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds

ALONE = World(cpus=1, tds=2, slots=1)
SETUP = tuple(map(Op.parse, ("create 0", "map 0 0")))
CHECKS = ("deadlock",)


def alone_in_a_range(design: str, cpus: int) -> Case:
    """The S-EPT pages of a TD are alone in a 2MB range when they are put, and the last CPU
    takes the lock for another range meanwhile.
    """
    world = World(cpus, tds=2, slots=2, guest_ranges=(0, 4), fresh_ranges=(3,))
    setup = tuple(map(Op.parse, ("create 0", "create 1", "map 1 1")))
    program = tuple(map(Op.parse, ("map 0 0", "destroy 0", "map 1 0")))
    programs = ((Op("zap", (1, 1)),), program)[-cpus:]
    return Case(design, world, setup, programs, checks=CHECKS)


def life(layer: type[RefcountLayer], *ops: str, checks: tuple[str, ...] = ()) -> Run:
    programs = (tuple(map(Op.parse, ops)),)
    return run(Case("Layer", ALONE, SETUP, programs, checks=checks), layer)


class RcuMerged(Merged):
    """What was merged, with S-EPT pages freed as v5 frees them."""

    frees_sept_from_rcu = True


class RcuIrqsave(RcuMerged):
    """The same, with the lock that this takes."""

    def setup(self) -> None:
        self.dpamt_lock = self.spinlock("dpamt_lock", irqsave=True)


class RcuMutex(RcuMerged):
    """The same with a mutex, in softirqs only: elsewhere the MMU lock is held."""

    def setup(self) -> None:
        self.outer = self.mutex("outer")
        super().setup()

    def put(self, pfn: int, hint: bool = False) -> None:
        cpu = self._host.sim.current
        with self.outer if cpu.id != cpu.on else nullcontext():
            super().put(pfn, hint)


class RcuReadWrite(RcuMerged):
    """The same with an rwlock around it: softirqs read and all others write, or the reverse."""

    softirqs_read = True

    def setup(self) -> None:
        self.outer = self.rwlock("outer")
        self.dpamt_lock = self.spinlock("dpamt_lock", irqsave=True)

    def put(self, pfn: int, hint: bool = False) -> None:
        cpu = self._host.sim.current
        reads = (cpu.id != cpu.on) is self.softirqs_read
        with self.outer.read() if reads else self.outer.write():
            super().put(pfn, hint)


class RcuWriteRead(RcuReadWrite):
    """The reverse."""

    softirqs_read = False


class RcuReadRead(RcuReadWrite):
    """All read."""

    def put(self, pfn: int, hint: bool = False) -> None:
        with self.outer.read():
            super(RcuReadWrite, self).put(pfn, hint)


@pytest.mark.parametrize("layer", [RcuReadWrite, RcuWriteRead])
def test_a_reader_of_one_world_and_a_writer_of_the_other_are_told(
    layer: type[RefcountLayer],
) -> None:
    for ops in (("destroy 0",), ("zap 0 0", "destroy 0", "create 0", "map 0 0", "zap 0 0")):
        found = life(layer, *ops, checks=("irq-safety",)).finding
        assert found is not None
        assert found.bucket == "irq-safety/-/-/outer"
        assert "outer is taken in the softirq of CPU 0 (step " in found.message
        assert ", and by CPU 0 with interrupts on (step " in found.message


def test_readers_of_both_worlds_do_not_wait_for_each_other() -> None:
    ran = life(RcuReadRead, "destroy 0", "create 0", "map 0 0", "destroy 0", checks=("irq-safety",))
    assert ran.finding is None
    assert "irq-safety" in ran.seen


@pytest.mark.parametrize("layer", [V5, RcuMerged])
def test_a_lock_of_both_worlds_is_told(layer: type[RefcountLayer]) -> None:
    found = life(layer, "destroy 0").finding
    assert found is not None
    lock = "pamt_lock" if layer is V5 else "dpamt_lock"
    assert found.bucket == f"irq-safety/-/-/{lock}"
    assert f"{lock} is taken in the softirq of CPU 0 (step " in found.message


@pytest.mark.parametrize("layer", [V5Irqsave, RcuIrqsave, Merged])
def test_one_that_keeps_interrupts_off_is_not(layer: type[RefcountLayer]) -> None:
    ran = life(layer, "destroy 0", "create 0", "map 0 0", "destroy 0")
    assert ran.finding is None
    assert ran.outcome.end is End.REST
    assert "irq-safety" in ran.seen


def test_a_mutex_in_a_softirq_is_told() -> None:
    found = life(RcuMutex, "destroy 0", checks=("atomic-sleep",)).finding
    assert found is not None
    assert found.bucket == "atomic-sleep/-/-/mutex_lock in a softirq"


def test_the_softirq_hangs_where_it_comes_under_the_lock() -> None:
    """Interrupted in the middle of PAMT.REMOVE's lock: lockdep was right."""
    case = alone_in_a_range("v5", 1)
    steps = run(case).outcome.steps
    hung = 0
    for step in range(steps):
        interrupted = run(case.with_schedule(Schedule.of([(step, 1)])))
        if interrupted.finding is not None:
            assert interrupted.finding.bucket == "deadlock/-/-/pamt_lock softirq"
            hung += 1
    assert 0 < hung < steps


def test_no_softirq_comes_within_a_seamcall() -> None:
    program = tuple(map(Op.parse, ("destroy 0", "create 0")))
    case = Case("v5-irqsave", ALONE, SETUP, (program,))
    base = run(case, traced=True)
    assert base.trace is not None
    calls = [r.step for r in base.trace if r.kind == "call"]
    returns = [r.step for r in base.trace if r.kind == "return"]
    applied = {
        step
        for step in range(base.outcome.steps)
        if run(case.with_schedule(Schedule.of([(step, 1)]))).order
    }
    inside = {s for a, b in zip(calls, returns, strict=True) for s in range(a + 1, b)}
    assert applied
    assert not applied & inside


def test_all_orders_with_a_softirq_are_tried() -> None:
    verified = verify(alone_in_a_range("v5", 2), None, Bounds(preemptions=1))
    assert verified.verdict is Verdict.FAIL
    assert verified.found is not None
    assert verified.found.finding is not None
    assert verified.found.finding.check == "deadlock"


def test_leaving_orders_out_loses_no_end() -> None:
    """With interrupts off for a while, and without: the same ends as in all orders."""
    world = World(cpus=1, tds=2, slots=1)
    programs = (tuple(map(Op.parse, ("destroy 0", "map 1 0"))),)
    for design in ("v5", "v5-irqsave"):
        setup = (*SETUP, Op.parse("create 1"))
        case = Case(design, world, setup, programs, checks=CHECKS)
        ends = [
            verify(case, None, Bounds(preemptions=1, reduce=reduce)).counts.finals
            for reduce in (True, False)
        ]
        assert ends[0] == ends[1]
        assert ends[0]
