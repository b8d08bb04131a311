"""What is left of a run that ended early unwinds without acting."""

from __future__ import annotations

import pytest

from sim.sim_toys import Counter, World, stop
from tdxfuzz.sim import End, FairLock, FairRwLock, Simulator


@pytest.mark.parametrize("traced", [True, False], ids=["traced", "untraced"])
@pytest.mark.parametrize("end", [End.BOUND, End.STOPPED, End.DEADLOCK])
def test_finally_blocks_of_a_suspended_cpu_run_and_change_nothing(end: End, traced: bool) -> None:
    world = World(2, [(4, 1)], traced=traced, bound=50)
    n = Counter(world.sim, "n", 0)
    lock, rw = FairLock(world.sim, "lock"), FairRwLock(world.sim, "rw")
    unwound: list[str] = []

    def suspended() -> None:
        try:
            with rw.read(), rw.read(), lock:
                n.add(1)
                n.add(1)
                unwound.append("never")
        finally:
            unwound.append("finally")
            n.write(99)
            unwound.append("never")

    def ending() -> None:
        if end is End.BOUND:
            while True:
                n.read()
        elif end is End.STOPPED:
            stop()
        own = FairLock(world.sim, "own")
        own.acquire()
        own.acquire()

    outcome = world.run(suspended, ending)

    assert outcome.end is end
    assert unwound == ["finally"]
    assert n.value == 1
    assert [cpu.id for cpu in lock.holders() + rw.holders()] == [0, 0, 0]
    assert world.sim.clock == outcome.steps
    assert len(world.order) == (outcome.steps if traced else 0)


def test_a_cpu_suspended_before_a_release_still_holds_the_lock_in_the_end() -> None:
    world = World(2, [(2, 1)])
    lock, rw = FairLock(world.sim, "lock"), FairRwLock(world.sim, "rw")

    def suspended() -> None:
        with rw.write(), lock:
            pass

    world.run(suspended, stop)

    assert [cpu.id for cpu in lock.holders() + rw.holders()] == [0, 0]


def test_releases_of_an_unwinding_cpu_do_nothing_and_return() -> None:
    world = World(2, [(4, 1)])
    n = Counter(world.sim, "n", 0)
    lock, shared, exclusive = (
        FairLock(world.sim, "lock"),
        FairRwLock(world.sim, "shared"),
        FairRwLock(world.sim, "exclusive"),
    )
    unwound: list[str] = []

    def suspended() -> None:
        lock.acquire()
        shared.read_acquire()
        exclusive.write_acquire()
        try:
            n.add(1)
            n.add(1)
        finally:
            exclusive.write_release()
            shared.read_release()
            lock.release()
            unwound.append("to the end")

    world.run(suspended, stop)

    assert unwound == ["to the end"]
    assert [cpu.id for held in (lock, shared, exclusive) for cpu in held.holders()] == [0, 0, 0]


def test_a_blocked_cpu_unwinds_without_getting_or_giving_the_lock() -> None:
    world = World(3, [(1, 1), (2, 2)])
    lock, other = FairLock(world.sim, "lock"), FairLock(world.sim, "other")
    unwound: list[str] = []

    def holder() -> None:
        lock.acquire()
        lock.release()

    def blocked() -> None:
        try:
            with lock:
                unwound.append("never")
        finally:
            unwound.append("blocked")
            other.acquire()
            unwound.append("never")

    outcome = world.run(holder, blocked, stop)

    assert outcome.end is End.STOPPED
    assert unwound == ["blocked"]
    assert [cpu.id for cpu in lock.holders()] == [0]
    assert other.holders() == []


def test_a_cpu_that_never_started_runs_nothing_of_its_body() -> None:
    started: list[int] = []

    outcome = Simulator(2).run([stop, lambda: started.append(1)])

    assert outcome.end is End.STOPPED
    assert started == []
