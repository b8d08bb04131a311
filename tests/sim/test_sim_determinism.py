"""Determinism is checked: two runs of one case must leave the same trace."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.sim_toys import Counter, World
from tdxfuzz.sim import (
    HarnessError,
    Nondeterminism,
    Record,
    Trace,
    Variable,
    check_determinism,
)


def runs_of(steps: Callable[[int, Counter, Variable[int]], None]) -> Callable[[], Trace]:
    """A case whose only program is told how often it ran before: what no case may know."""
    ran = 0

    def run() -> Trace:
        nonlocal ran
        world = World(1)
        n, m = Counter(world.sim, "n", 0), Variable(world.sim, "m", 0)
        before, ran = ran, ran + 1
        world.run(lambda: steps(before, n, m))
        return world.trace

    return run


def test_a_deterministic_case_gives_the_trace_of_its_first_run() -> None:
    traces: list[Trace] = []

    def run() -> Trace:
        world = World(2, [(1, 1)])
        n = Counter(world.sim, "n", 0)
        world.run(lambda: n.write(n.read()), lambda: n.write(1))
        traces.append(world.trace)
        return world.trace

    assert check_determinism(run) is traces[0]
    assert len(traces) == 2


def test_the_first_record_that_differs_is_named() -> None:
    def steps(before: int, n: Counter, m: Variable[int]) -> None:
        n.add(1)
        (m if before else n).write(1)
        n.add(1)

    with pytest.raises(Nondeterminism) as found:
        check_determinism(runs_of(steps))

    first, second = Record(1, 0, "step", "n", ("write",)), Record(1, 0, "step", "m", ("write",))
    assert str(found.value) == (
        f"two runs of one case differ at record 2: {first} against {second}"
    )


def test_a_trace_that_only_goes_on_longer_differs_in_length() -> None:
    lengths = iter([3, 4])

    def run() -> Trace:
        trace = Trace()
        for step in range(next(lengths)):
            trace.add(step, 0, "step", "n", "read")
        return trace

    with pytest.raises(Nondeterminism, match="differ in length: 3 against 4 records"):
        check_determinism(run)


def test_a_longer_run_differs_where_the_shorter_ended() -> None:
    def steps(before: int, n: Counter, m: Variable[int]) -> None:
        for _ in range(2 + before):
            n.add(1)

    with pytest.raises(Nondeterminism, match=r"differ at record 3: .*'done'.* against .*'step'"):
        check_determinism(runs_of(steps))


def test_nondeterminism_is_a_fault_of_the_harness() -> None:
    assert issubclass(Nondeterminism, HarnessError)
