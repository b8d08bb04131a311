"""What a run is said to have done: SEAMCALLs, and how CPUs met in a range."""

from __future__ import annotations

import pytest

from tdxfuzz.abi import Registers, status
from tdxfuzz.run.result import Contention
from tdxfuzz.run.tally import Tally
from tdxfuzz.sim import Simulator

Visit = tuple[int, str, int]
"""A CPU, what it called the design for, and how many pages held the range."""


def test_seamcalls_are_counted_by_leaf_and_code() -> None:
    tally = Tally(Simulator(1))
    for word in (0, 0, 0x8000020000000001):
        tally.called(58, Registers(), status(word))
    assert tally.calls == {(58, 0): 2, (58, 0x80000200): 1}


@pytest.mark.parametrize(
    ("visits", "contention"),
    [
        ([], Contention.NONE),
        ([(0, "get", 0), (0, "put", 1)], Contention.NONE),
        ([(0, "get", 1), (1, "get", 2)], Contention.SHARED),
        ([(0, "put", 2), (1, "get", 1)], Contention.SHARED),
        ([(0, "put", 2), (1, "promote", 1)], Contention.EDGE),
        ([(0, "get", 0), (1, "demote", 1)], Contention.EDGE),
    ],
)
def test_contention_is_two_cpus_in_one_range_and_its_edge_an_empty_range(
    visits: list[Visit], contention: Contention
) -> None:
    sim = Simulator(2)
    sim.running = True
    tally = Tally(sim)
    for cpu, what, holders in visits:
        sim.current = sim.cpus[cpu]
        tally.entered(what, 0x40000, holders, cached=False)
    assert tally.contention() is contention


def test_the_set_up_visits_no_range() -> None:
    tally = Tally(Simulator(1))
    tally.entered("get", 0x40000, 0, cached=False)
    assert tally.visits == {}
