"""Retry points: yielding, round the ring, and the locks one can build from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.sim_toys import Body, Counter, World
from tdxfuzz.sim import End, FairLock, Outcome, Simulator, Variable


class TicketLock:
    """A spinlock of two cells: draw a number, retry until it is served."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.next_ticket = Counter(sim, "next_ticket", 0)
        self.now_serving = Variable(sim, "now_serving", 0)

    def acquire(self) -> None:
        mine = self.next_ticket.add(1)
        while self.now_serving.read() != mine:
            self.sim.retry(self.now_serving)

    def release(self) -> None:
        self.now_serving.write(self.now_serving.read() + 1)


class OpenDoor(TicketLock):
    """The same steps, but everybody goes straight in."""

    def acquire(self) -> None:
        self.next_ticket.add(1)
        self.now_serving.read()


def add_under(world: World, lock: TicketLock, rounds: int = 2) -> tuple[Outcome, int]:
    """Every CPU adds one to ``x`` non-atomically under the lock; the outcome and ``x``."""
    x = Variable(world.sim, "x", 0)

    def body() -> None:
        for _ in range(rounds):
            lock.acquire()
            x.write(x.read() + 1)
            lock.release()

    outcome = world.run(*[body] * len(world.sim.cpus))
    return outcome, x.value


def test_retry_gives_way_round_the_ring() -> None:
    world = World(3)
    n = Counter(world.sim, "n", 0)

    def body() -> None:
        for _ in range(3):
            world.sim.retry(n)

    world.run(body, body, body)

    assert world.order == [0, 1, 2] * 3
    assert world.sim.preemptions == 0


def test_the_ring_starts_behind_the_cpu_that_yields() -> None:
    world = World(3, [(0, 1)])
    n = Counter(world.sim, "n", 0)

    world.run(lambda: n.write(0), lambda: world.sim.retry(n), lambda: n.write(2))

    assert world.order == [1, 2, 0]


def test_the_ring_passes_over_who_is_blocked_or_done() -> None:
    world = World(4, [(1, 1), (2, 2)])
    lock = FairLock(world.sim, "lock")
    n = Counter(world.sim, "n", 0)

    def holder() -> None:
        lock.acquire()
        world.sim.retry(n)
        lock.release()

    def waiter() -> None:
        lock.acquire()
        lock.release()

    world.run(holder, waiter, lambda: None, lambda: n.write(3))

    assert world.order == [0, 1, 0, 3, 0, 1]


def test_a_lone_cpu_that_retries_goes_on() -> None:
    world = World(2)
    n = Counter(world.sim, "n", 0)

    def body() -> None:
        for _ in range(3):
            world.sim.retry(n)

    outcome = world.run(lambda: None, body)

    assert world.order == [1, 1, 1]
    assert outcome.switches == ((0, 0), (0, 1))


def test_retry_is_one_step_that_reads() -> None:
    world = World(1)
    n = Counter(world.sim, "n", 0)

    outcome = world.run(lambda: world.sim.retry(n))

    assert world.steps == [(0, "n", "read")]
    assert outcome.steps == 1


def test_retry_while_nothing_runs_is_harmless() -> None:
    world = World(2)
    n = Counter(world.sim, "n", 0)

    world.sim.retry(n)

    assert world.sim.current is world.sim.cpus[0]
    assert world.sim.switches == []


def test_a_ticket_lock_serves_in_the_order_of_the_tickets() -> None:
    world = World(3, [(1, 2), (3, 1)])
    lock = TicketLock(world.sim)
    served: list[int] = []

    def body() -> None:
        lock.acquire()
        served.append(world.sim.current.id)
        lock.release()

    assert world.run(body, body, body).end is End.REST
    assert served == [0, 2, 1]


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_a_ticket_lock_needs_no_switch_to_make_progress(cpus: int) -> None:
    world = World(cpus)

    outcome, x = add_under(world, TicketLock(world.sim))

    assert outcome.end is End.REST
    assert outcome.steps == cpus * 2 * 6
    assert x == cpus * 2


switches = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)))


@given(switches)
def test_a_ticket_lock_excludes_and_ends_under_any_schedule(pairs: list[tuple[int, int]]) -> None:
    world = World(3, pairs)

    outcome, x = add_under(world, TicketLock(world.sim))

    assert outcome.end is End.REST
    assert x == 6


def test_without_the_wait_one_switch_in_the_same_program_loses_updates() -> None:
    losing = {}
    for step in range(12):
        world = World(2, [(step, 1)])
        _, x = add_under(world, OpenDoor(world.sim))
        if x < 4:
            losing[step] = x

    assert losing == {3: 2, 9: 2}


def test_spinning_without_retry_never_ends() -> None:
    world = World(2, [(1, 1)], bound=500)
    taken = Variable(world.sim, "taken", False)

    def holder() -> None:
        taken.write(True)
        taken.write(False)

    def spinner() -> None:
        while taken.read():
            pass

    bodies: list[Body] = [holder, spinner]
    assert world.run(*bodies).end is End.BOUND
    assert world.order == [0] + [1] * 499
