"""What overlaps: each kind is seen when two are under way at once, and not before."""

from __future__ import annotations

from tdxfuzz.abi import Registers, status
from tdxfuzz.case.operation import Op
from tdxfuzz.check.in_flight import InFlight
from tdxfuzz.sim import Simulator

OP = Op("create", (0,))
PFN, SAME_RANGE, OTHER_RANGE = 0x40000, 0x401FF, 0x40200
PAIR = PFN << 12


def on_two_cpus() -> tuple[Simulator, InFlight]:
    sim = Simulator(2)
    sim.running = True
    return sim, InFlight(sim)


def test_two_calls_overlap_if_the_second_begins_before_the_first_returned() -> None:
    _, in_flight = on_two_cpus()
    for _ in range(2):
        in_flight.calling(58, 0, Registers())
        in_flight.called(58, Registers(), status(0))
    assert (in_flight.calls, in_flight.calls_met) == (0, False)
    in_flight.calling(58, 0, Registers())
    in_flight.calling(58, 0, Registers())
    assert (in_flight.calls, in_flight.calls_met) == (2, True)


def test_operations_are_counted_over_all_cpus() -> None:
    _, in_flight = on_two_cpus()
    in_flight.op_began(OP)
    in_flight.op_began(OP)
    in_flight.op_ended(OP)
    assert in_flight.operations == 1


def test_gets_meet_in_one_range_only() -> None:
    sim, in_flight = on_two_cpus()
    in_flight.entered("get", PFN, 0, False)
    sim.current = sim.cpus[1]
    in_flight.entered("put", OTHER_RANGE, 1, False)
    in_flight.pair_added(PAIR)
    assert (in_flight.gets_met, in_flight.adds_met) == (False, False)
    in_flight.left("put", OTHER_RANGE)
    in_flight.entered("put", SAME_RANGE, 1, False)
    in_flight.pair_added(PAIR)
    assert (in_flight.gets_met, in_flight.adds_met) == (True, True)


def test_the_longest_get_or_put_is_that_of_a_program() -> None:
    sim, in_flight = on_two_cpus()
    sim.running = False
    sim.clock = 3
    in_flight.entered("get", PFN, 0, False)
    sim.clock = 99
    in_flight.left("get", PFN)
    assert (in_flight.longest, in_flight.range_used) == (0, False)
    sim.running = True
    for began, ended in ((100, 107), (110, 112)):
        sim.clock = began
        in_flight.entered("put", PFN, 1, False)
        sim.clock = ended
        in_flight.left("put", PFN)
    assert (in_flight.longest, in_flight.range_used) == (7, True)


def test_a_get_with_a_cache_is_one_in_atomic_context() -> None:
    _, in_flight = on_two_cpus()
    in_flight.entered("get", PFN, 0, False)
    assert not in_flight.gets_in_atomic
    in_flight.entered("get", PFN, 0, True)
    assert in_flight.gets_in_atomic
