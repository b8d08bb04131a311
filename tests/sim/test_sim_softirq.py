"""Softirqs: they come where interrupts are on, and their CPU waits for their end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tdxfuzz.sim import (
    RMW,
    End,
    FairLock,
    FollowSchedule,
    Outcome,
    Schedule,
    Simulator,
    Variable,
)

CPU, OTHER, SOFTIRQ = 0, 1, 2
"""Ids with two CPUs: the softirq of CPU 0 is 2."""


class Machine:
    """Two CPUs, one lock, and a softirq that counts with the lock held."""

    def __init__(self, *switches: tuple[int, int]) -> None:
        self.policy = FollowSchedule(Schedule.of(switches))
        self.sim = Simulator(2, self.policy, softirqs=True)
        self.lock = FairLock(self.sim, "lock")
        self.cell = Variable(self.sim, "cell", 0)
        self.order: list[str] = []
        self.sim.softirq_handler = self.handle

    def handle(self) -> None:
        self.order.append(f"softirq on {self.sim.current.on}")
        with self.lock:
            self.cell.write(self.cell.read() + 1)
        self.order.append("softirq ends")

    def step(self, what: str) -> None:
        self.sim.step(self.cell, RMW)
        self.order.append(f"{self.sim.current}: {what}")

    def run(self, *bodies: Callable[[], None]) -> Outcome:
        nothing = [lambda: None] * (2 - len(bodies))
        return self.sim.run([*bodies, *nothing])


def raising(machine: Machine) -> Callable[[], None]:
    def body() -> None:
        machine.step("a")
        machine.sim.raise_softirq()
        machine.step("b")
        machine.step("c")

    return body


def test_by_default_it_comes_when_nobody_else_can_go_on() -> None:
    machine = Machine()
    outcome = machine.run(raising(machine), lambda: machine.step("d"))
    assert outcome.end is End.REST
    assert machine.order == [
        "CPU 0: a",
        "CPU 0: b",
        "CPU 0: c",
        "CPU 1: d",
        "softirq on 0",
        "softirq ends",
    ]
    assert machine.cell.value == 1


def test_it_interrupts_its_cpu_which_then_goes_on() -> None:
    machine = Machine((2, SOFTIRQ))
    machine.run(raising(machine), lambda: machine.step("d"))
    assert machine.order == [
        "CPU 0: a",
        "CPU 0: b",
        "softirq on 0",
        "softirq ends",
        "CPU 0: c",
        "CPU 1: d",
    ]
    assert machine.sim.preemptions == 1


def test_another_cpu_may_go_on_meanwhile_but_not_the_interrupted_one() -> None:
    machine = Machine((1, SOFTIRQ), (2, OTHER), (3, CPU))

    def two_steps() -> None:
        machine.step("d")
        machine.step("e")

    machine.run(raising(machine), two_steps)
    assert machine.order == [
        "CPU 0: a",
        "softirq on 0",
        "CPU 1: d",
        "CPU 1: e",
        "softirq ends",
        "CPU 0: b",
        "CPU 0: c",
    ]
    assert [cpu for _, cpu in machine.sim.order] == [SOFTIRQ, OTHER]


def test_before_it_is_raised_there_is_none() -> None:
    machine = Machine((0, SOFTIRQ), (1, SOFTIRQ + 1))
    machine.run(raising(machine))
    assert machine.sim.order == []


def test_raised_twice_it_comes_twice() -> None:
    machine = Machine((2, SOFTIRQ))

    def body() -> None:
        raising(machine)()
        machine.sim.raise_softirq()

    machine.run(body)
    assert machine.order.count("softirq on 0") == 2


def test_raised_again_before_it_came_it_comes_once() -> None:
    machine = Machine()

    def body() -> None:
        machine.sim.raise_softirq()
        machine.sim.raise_softirq()

    machine.run(body)
    assert machine.order.count("softirq on 0") == 1


def test_it_waits_for_ever_for_a_lock_that_its_cpu_holds() -> None:
    machine = Machine((3, SOFTIRQ))

    def body() -> None:
        machine.sim.raise_softirq()
        with machine.lock:
            machine.step("a")
            machine.step("b")
            machine.step("c")

    outcome = machine.run(body)
    assert outcome.end is End.DEADLOCK
    assert outcome.deadlock is not None
    assert str(outcome.deadlock) == (
        "the softirq of CPU 0 waits for lock of CPU 0, "
        "CPU 0 waits for softirq[0] of the softirq of CPU 0"
    )


def test_with_interrupts_off_it_does_not_come() -> None:
    machine = Machine((3, SOFTIRQ), (4, SOFTIRQ))

    def body() -> None:
        machine.sim.raise_softirq()
        machine.sim.current.irqs_off += 1
        with machine.lock:
            machine.step("a")
            machine.step("b")
            machine.step("c")
        machine.sim.current.irqs_off -= 1
        machine.step("d")

    outcome = machine.run(body)
    assert outcome.end is End.REST
    assert machine.sim.order == []
    assert machine.order[-2:] == ["softirq on 0", "softirq ends"]


@pytest.mark.parametrize("late", [False, True])
def test_a_cpu_that_is_handed_a_lock_under_its_softirq_goes_on_afterwards(late: bool) -> None:
    """CPU 0 waits for the lock when its softirq comes; CPU 1 gives the lock up meanwhile."""
    machine = Machine((2, OTHER), (5, CPU), (6, SOFTIRQ), (7, OTHER))

    def handler() -> None:
        machine.step("irq 0")
        machine.step("irq 1")

    machine.sim.softirq_handler = handler

    def waiting() -> None:
        machine.step("a")
        machine.sim.raise_softirq()
        machine.step("b")
        with machine.lock:
            machine.step("c")

    def holding() -> None:
        with machine.lock:
            machine.step("d")
            machine.step("e")
            if late:
                machine.step("f")

    outcome = machine.run(waiting, holding)
    assert outcome.end is End.REST
    assert machine.order.index("CPU 0: c") > machine.order.index("the softirq of CPU 0: irq 1")


def test_in_a_set_up_it_comes_at_once() -> None:
    machine = Machine()
    machine.sim.raise_softirq()
    assert machine.cell.value == 1
