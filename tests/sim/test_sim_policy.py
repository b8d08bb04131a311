"""Policies of one's own: when they are asked, and what they can see."""

from __future__ import annotations

from sim.sim_toys import Body, Counter
from tdxfuzz.sim import (
    NEVER,
    READ,
    RMW,
    WRITE,
    Cpu,
    FairLock,
    Simulator,
    Trace,
    Why,
    default_choice,
)


class Watch:
    """Leaves everything to the default and writes down what it is asked."""

    def __init__(self, due: int = 0) -> None:
        self.due = due
        self.asked: list[tuple[int, int]] = []
        self.chosen: list[tuple[int, Why, int | None]] = []
        self.woke: list[tuple[int, int]] = []

    def preempt(self, sim: Simulator) -> Cpu | None:
        self.asked.append((sim.clock, sim.current.id))
        return None

    def choose(self, sim: Simulator, why: Why) -> Cpu | None:
        choice = default_choice(sim, why)
        self.chosen.append((sim.clock, why, None if choice is None else choice.id))
        return choice

    def woken(self, sim: Simulator, cpu: Cpu) -> None:
        self.woke.append((sim.clock, cpu.id))


def two_adders(sim: Simulator) -> list[Body]:
    n = Counter(sim, "n", 0)

    def body() -> None:
        n.add(1)
        n.add(1)

    return [body, body]


def test_a_policy_is_asked_before_every_step_that_is_due() -> None:
    policy = Watch()
    sim = Simulator(2, policy)

    sim.run(two_adders(sim))

    assert policy.asked == [(0, 0), (1, 0), (2, 1), (3, 1)]


def test_a_policy_is_not_asked_before_it_is_due() -> None:
    policy = Watch(due=2)
    sim = Simulator(2, policy)

    sim.run(two_adders(sim))

    assert policy.asked == [(2, 1), (3, 1)]


def test_a_policy_may_put_off_when_it_is_due() -> None:
    class Every2(Watch):
        def preempt(self, sim: Simulator) -> Cpu | None:
            self.due = sim.clock + 2
            return super().preempt(sim)

    policy = Every2(due=1)
    sim = Simulator(2, policy)

    sim.run(two_adders(sim))

    assert policy.asked == [(1, 0), (3, 1)]


def test_a_policy_that_is_never_due_is_asked_only_when_somebody_stops() -> None:
    policy = Watch(due=NEVER)
    sim = Simulator(2, policy)

    sim.run(two_adders(sim))

    assert policy.asked == []
    assert policy.chosen == [(0, Why.START, 0), (2, Why.DONE, 1), (4, Why.DONE, None)]


def test_a_policy_chooses_at_the_start_at_blocks_yields_and_ends() -> None:
    policy = Watch()
    sim = Simulator(2, policy)
    lock = FairLock(sim, "lock")

    def holder() -> None:
        lock.acquire()
        sim.retry(lock)
        lock.release()

    def waiter() -> None:
        lock.acquire()
        lock.release()

    sim.run([holder, waiter])

    assert policy.chosen == [
        (0, Why.START, 0),
        (2, Why.YIELD, 1),
        (3, Why.BLOCK, 0),
        (4, Why.DONE, 1),
        (5, Why.DONE, None),
    ]
    assert policy.woke == [(4, 1)]


def test_a_policy_sees_the_step_each_cpu_has_announced() -> None:
    class Alternate(Watch):
        def __init__(self) -> None:
            super().__init__()
            self.announced: list[list[tuple[str, int] | None]] = []

        def preempt(self, sim: Simulator) -> Cpu | None:
            self.announced.append(
                [
                    (cpu.next_cell.name, cpu.next_access) if cpu.next_cell else None
                    for cpu in sim.cpus
                ]
            )
            first, second = sim.cpus
            return second if sim.current is first and second.runnable else None

    policy = Alternate()
    sim = Simulator(2, policy)
    n, m = Counter(sim, "n", 0), Counter(sim, "m", 0)

    def writes() -> None:
        n.write(1)
        n.add(1)

    sim.run([writes, lambda: m.write(m.read())])

    assert policy.announced == [
        [("n", WRITE), None],
        [("n", WRITE), ("m", READ)],
        [("n", WRITE), ("m", WRITE)],
        [("n", WRITE), ("m", WRITE)],
        [("n", RMW), ("m", WRITE)],
    ]


def test_a_policy_may_take_turns_at_every_step() -> None:
    class Turns(Watch):
        def preempt(self, sim: Simulator) -> Cpu | None:
            if len(self.asked) == sim.clock:
                self.asked.append((sim.clock, sim.current.id))
                other = sim.cpus[1 - sim.current.id]
                return other if sim.clock % 2 and other.runnable else None
            return None

    trace = Trace()
    sim = Simulator(2, Turns(), trace)

    sim.run(two_adders(sim))

    assert [record.cpu for record in trace if record.kind == "step"] == [0, 1, 1, 0]


def test_without_a_choice_cpus_run_in_turn() -> None:
    sim = Simulator(3)
    order: list[int] = []

    sim.run([lambda: order.append(sim.current.id)] * 3)

    assert order == [0, 1, 2]


def test_cpus_are_told_apart_by_number() -> None:
    assert [str(cpu) for cpu in Simulator(3).cpus] == ["CPU 0", "CPU 1", "CPU 2"]
