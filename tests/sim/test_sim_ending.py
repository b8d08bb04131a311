"""How runs end: at rest, at the bound, stopped or with an exception."""

from __future__ import annotations

import pytest

from sim.sim_toys import Body, Counter, World, stop
from tdxfuzz.sim import (
    End,
    FairLock,
    HarnessError,
    Outcome,
    Simulator,
    StepBound,
    StopRun,
)


def counting(n: Counter) -> Body:
    def forever() -> None:
        while True:
            n.add(1)

    return forever


def test_a_run_whose_programs_end_is_at_rest() -> None:
    outcome = Simulator(2).run([lambda: None, lambda: None])

    assert outcome == Outcome(End.REST, steps=0, switches=((0, 0), (0, 1)))


def test_the_bound_ends_a_run_after_that_many_steps() -> None:
    world = World(2, [(3, 1)], bound=7)
    n = Counter(world.sim, "n", 0)

    outcome = world.run(counting(n), counting(n))

    assert outcome.end is End.BOUND
    assert outcome.steps == 7
    assert n.value == 7
    assert world.order == [0, 0, 0, 1, 1, 1, 1]


def test_a_run_of_exactly_as_many_steps_as_the_bound_is_at_rest() -> None:
    def ends(bound: int) -> End:
        world = World(1, bound=bound, traced=False)
        n = Counter(world.sim, "n", 0)

        def five() -> None:
            for _ in range(5):
                n.add(1)

        return world.run(five).end

    assert [ends(bound) for bound in (4, 5, 6)] == [End.BOUND, End.REST, End.REST]


def test_an_outcome_does_not_keep_the_frames_of_its_run() -> None:
    """They hold the outcome as well, so that all would wait for the next full collection."""
    world = World(2, [(3, 1)], bound=7)
    n = Counter(world.sim, "n", 0)

    outcome = world.run(counting(n), counting(n))

    assert outcome.bound is not None
    assert outcome.bound.__traceback__ is None


def test_stop_run_ends_the_whole_run_at_once() -> None:
    world = World(3, [(2, 1)])
    n = Counter(world.sim, "n", 0)

    def body() -> None:
        n.add(10)
        stop()

    outcome = world.run(counting(n), body, counting(n))

    assert outcome.end is End.STOPPED
    assert outcome.steps == 3
    assert n.value == 12


@pytest.mark.parametrize("error", [StopRun, StepBound])
def test_code_that_catches_every_exception_cannot_swallow_the_end(error: type[StopRun]) -> None:
    swallowed: list[Exception] = []

    def body() -> None:
        try:
            raise error
        except Exception as e:
            swallowed.append(e)

    outcome = Simulator(1).run([body])

    assert outcome.end is not End.REST
    assert swallowed == []


def test_an_exception_of_a_body_comes_out_after_the_others_were_unwound() -> None:
    world = World(3, [(1, 1), (2, 2)])
    n = Counter(world.sim, "n", 0)
    unwound: list[int] = []

    def body() -> None:
        try:
            n.add(1)
            n.add(1)
        finally:
            unwound.append(world.sim.current.id)

    def broken() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        world.run(body, body, broken)

    assert len(unwound) == 2
    assert n.read() == 2


def test_a_harness_error_of_a_body_comes_out() -> None:
    world = World(2)

    with pytest.raises(HarnessError, match="does not hold"):
        world.run(FairLock(world.sim, "lock").release, stop)


@pytest.mark.parametrize("bodies", [0, 1, 3])
def test_there_must_be_one_body_per_cpu(bodies: int) -> None:
    with pytest.raises(HarnessError, match=f"{bodies} programs for 2 CPUs"):
        Simulator(2).run([lambda: None] * bodies)


def test_after_an_early_end_the_world_can_be_inspected() -> None:
    world = World(1, bound=3)
    n, lock = Counter(world.sim, "n", 0), FairLock(world.sim, "lock")
    world.run(counting(n))

    with lock:
        assert n.read() == 3
        assert n.add(1) == 3
    assert n.value == 4
    assert lock.holders() == []
