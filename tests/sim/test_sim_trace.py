"""Traces: what a run records, in which order, and the hash over it."""

from __future__ import annotations

import hashlib

import pytest

from sim.sim_toys import Counter, World
from tdxfuzz.sim import FairLock, Record, Simulator, Trace


def toy(world: World) -> None:
    """CPU 1 waits for the lock once, CPU 0 yields once while it holds it."""
    lock = FairLock(world.sim, "lock")
    n = Counter(world.sim, "n", 0)

    def holder() -> None:
        with lock:
            world.sim.retry(n)
            n.write(n.read() + 1)

    def waiter() -> None:
        with lock:
            n.add(1)

    world.run(holder, waiter)
    assert n.value == 2


EXPECTED = [
    Record(0, 0, "switch", "", (0,)),
    Record(0, 0, "step", "lock", ("rmw",)),
    Record(1, 0, "step", "n", ("read",)),
    Record(2, 0, "switch", "", (1,)),
    Record(2, 1, "step", "lock", ("rmw",)),
    Record(3, 1, "block", "lock"),
    Record(3, 1, "switch", "lock", (0,)),
    Record(3, 0, "step", "n", ("read",)),
    Record(4, 0, "step", "n", ("write",)),
    Record(5, 0, "step", "lock", ("rmw",)),
    Record(6, 0, "done", ""),
    Record(6, 0, "switch", "", (1,)),
    Record(6, 1, "step", "n", ("rmw",)),
    Record(7, 1, "step", "lock", ("rmw",)),
    Record(8, 1, "done", ""),
]


def test_a_trace_records_steps_switches_blocks_and_ends() -> None:
    world = World(2)

    toy(world)

    assert world.trace.records == EXPECTED


def test_the_hash_of_a_toy_run_is_the_same_everywhere() -> None:
    world = World(2)

    toy(world)

    assert world.trace.hash() == (
        "11cc33f9b8e3bb5de88585e4c8bd85e6bf76e741e0ca1f6fb82e758079bc6393"
    )


def test_the_hash_is_sha256_over_one_line_a_record() -> None:
    trace = Trace()
    trace.add(7, 1, "kind", "what", 3, "text", True, None)
    trace.add(8, 0, "kind", "")

    lines = b"7 1 kind what (3, 'text', True, None)\n8 0 kind  ()\n"
    assert trace.hash() == hashlib.sha256(lines).hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        Record(1, 0, "kind", "what", (1,)),
        Record(0, 1, "kind", "what", (1,)),
        Record(0, 0, "other", "what", (1,)),
        Record(0, 0, "kind", "other", (1,)),
        Record(0, 0, "kind", "what", (2,)),
        Record(0, 0, "kind", "what", (True,)),
        Record(0, 0, "kind", "what", (1, None)),
    ],
    ids=["step", "cpu", "kind", "what", "data", "type of data", "length of data"],
)
def test_every_part_of_a_record_counts(changed: Record) -> None:
    trace, other = Trace(), Trace()
    trace.add(0, 0, "kind", "what", 1)
    other.records.append(changed)

    assert trace.hash() != other.hash()


def test_the_order_of_records_counts() -> None:
    trace, other = Trace(), Trace()
    trace.records += EXPECTED
    other.records += reversed(EXPECTED)

    assert trace.hash() != other.hash()


def test_a_trace_is_a_sequence_of_its_records() -> None:
    trace = Trace()
    trace.records += EXPECTED

    assert len(trace) == 15
    assert list(trace) == EXPECTED


def test_other_layers_add_records_of_their_own() -> None:
    world = World(1)
    n = Counter(world.sim, "n", 0)

    def body() -> None:
        n.add(1)
        world.trace.add(world.sim.clock, 0, "note", "half time", 1, None)
        n.add(1)

    world.run(body)

    assert [(r.step, r.kind, r.data) for r in world.trace][1:4] == [
        (0, "step", ("rmw",)),
        (1, "note", (1, None)),
        (1, "step", ("rmw",)),
    ]


def test_without_a_trace_nothing_is_recorded() -> None:
    world = World(2, traced=False)

    toy(world)

    assert world.sim.trace is None
    assert len(world.trace) == 0


def test_steps_before_and_after_a_run_are_not_recorded() -> None:
    trace = Trace()
    sim = Simulator(1, trace=trace)
    n = Counter(sim, "n", 0)

    n.add(1)
    sim.run([lambda: None])
    n.add(1)

    assert [record.kind for record in trace] == ["switch", "done"]
