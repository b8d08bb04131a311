"""The reader-writer lock: readers together, writers alone, nobody overtakes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.sim_toys import Body, Counter, World
from tdxfuzz.sim import End, FairRwLock, HarnessError

Events = list[tuple[int, str]]


def reader(world: World, lock: FairRwLock, events: Events) -> Body:
    def body() -> None:
        me = world.sim.current.id
        with lock.read():
            events.append((me, "in"))
            world.sim.step(lock, 0)
            events.append((me, "out"))

    return body


def writer(world: World, lock: FairRwLock, events: Events) -> Body:
    def body() -> None:
        me = world.sim.current.id
        with lock.write():
            events.append((me, "IN"))
            world.sim.step(lock, 0)
            events.append((me, "OUT"))

    return body


def run(kinds: str, switches: list[tuple[int, int]]) -> tuple[str, World]:
    """Run readers (r) and writers (w); what they did, e.g. ``"0in 1in 1out 0out"``."""
    world = World(len(kinds), switches)
    lock = FairRwLock(world.sim, "rw")
    events: Events = []
    sides = {"r": reader, "w": writer}
    outcome = world.run(*[sides[kind](world, lock, events) for kind in kinds])
    assert outcome.end is End.REST
    assert lock.holders() == []
    return " ".join(f"{cpu}{what}" for cpu, what in events), world


def test_readers_share_the_lock() -> None:
    events, world = run("rr", [(1, 1), (2, 0)])

    assert events == "0in 1in 0out 1out"
    assert world.sim.waits == 0


def test_a_writer_waits_for_all_readers() -> None:
    events, world = run("rrwr", [(1, 1), (2, 2), (3, 3)])

    assert events == "0in 1in 0out 1out 2IN 2OUT 3in 3out"
    assert world.sim.waits == 2


def test_a_reader_queued_behind_a_writer_waits_although_readers_hold_the_lock() -> None:
    events, world = run("rwr", [(1, 1), (2, 2)])

    assert events == "0in 0out 1IN 1OUT 2in 2out"
    assert world.sim.waits == 2


def test_without_the_writer_the_same_reader_goes_in() -> None:
    events, _ = run("rrr", [(1, 2)])

    assert events == "0in 2in 2out 0out 1in 1out"


def test_a_writer_waits_for_a_writer() -> None:
    events, _ = run("ww", [(1, 1)])

    assert events == "0IN 0OUT 1IN 1OUT"


def test_a_batch_of_readers_wakes_together_up_to_the_next_writer() -> None:
    world = World(5, [(1, 1), (2, 2), (3, 3), (4, 4)])
    lock = FairRwLock(world.sim, "rw")
    held: list[list[int]] = []

    def first() -> None:
        lock.write_acquire()
        lock.write_release()
        held.append([cpu.id for cpu in lock.holders()])

    def read() -> None:
        with lock.read():
            pass

    def write() -> None:
        with lock.write():
            held.append([cpu.id for cpu in lock.holders()])

    world.run(first, read, read, write, read)

    assert held == [[1, 2], [3]]
    assert world.sim.waits == 4


@given(
    st.text("rw", min_size=2, max_size=5),
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 4))),
)
def test_a_writer_is_alone_under_any_schedule(kinds: str, switches: list[tuple[int, int]]) -> None:
    events, _ = run(kinds, switches)

    readers: set[str] = set()
    writers: set[str] = set()
    for event in events.split():
        cpu, what = event[0], event[1:]
        side = readers if what.islower() else writers
        if what.lower() == "in":
            side.add(cpu)
        else:
            side.remove(cpu)
        assert len(writers) <= 1
        assert not (readers and writers)
    assert len(events.split()) == 2 * len(kinds)


def test_each_acquire_and_release_is_one_step() -> None:
    world = World(1)
    lock = FairRwLock(world.sim, "rw")

    def body() -> None:
        lock.read_acquire()
        lock.read_release()
        lock.write_acquire()
        lock.write_release()

    world.run(body)

    assert world.steps == [(0, "rw", "rmw")] * 4


def test_a_reader_may_hold_it_twice_and_must_give_it_back_twice() -> None:
    world = World(2, [(3, 1)])
    lock = FairRwLock(world.sim, "rw")
    n = Counter(world.sim, "n", 0)

    def twice() -> None:
        with lock.read():
            with lock.read():
                pass
            n.write(1)

    def write() -> None:
        with lock.write():
            assert n.value == 1

    assert world.run(twice, write).end is End.REST
    assert world.sim.waits == 1


@pytest.mark.parametrize("taken", ["not at all", "the other way", "by another"])
@pytest.mark.parametrize("side", ["read", "write"])
def test_releasing_what_is_not_held_is_a_harness_error(taken: str, side: str) -> None:
    world = World(2)
    lock = FairRwLock(world.sim, "rw")
    holder = world.sim.cpus[1 if taken == "by another" else 0]
    if taken != "not at all":
        if (side == "read") is (taken == "by another"):
            lock.readers.append(holder)
        else:
            lock.writer = holder
    release = lock.read_release if side == "read" else lock.write_release

    with pytest.raises(HarnessError, match=f"CPU 0 {side}-releases rw, which it does not hold"):
        world.run(release, lambda: None)
