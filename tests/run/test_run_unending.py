"""Runs that go on for ever: a livelock only if the state comes back, cut off and told if not."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.world import World
from tdxfuzz.host.design import PageCache, RefcountLayer
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.sim import End, Schedule

ALONE = Case("Mine", World(cpus=1), (), ((Op("create", (0,)),),))
TWO = Case(
    "Mine",
    World(cpus=2, tds=2),
    (Op("create", (0,)), Op("create", (1,)), Op("map", (0, 0))),
    ((Op("map", (1, 1)),), (Op("zap", (0, 0)),)),
)


class Rounds(Merged):
    """``get`` goes round a retry loop so many times."""

    rounds = 0

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        n = 0
        while n < self.rounds:
            n += 1
            self.cpu_relax()
        return super().get(pfn, cache)


@pytest.mark.parametrize("rounds", [2, 3, 10, 60, 400])
@pytest.mark.parametrize("in_setup", [False, True], ids=["program", "set-up"])
def test_a_loop_that_counts_its_rounds_is_no_livelock(rounds: int, in_setup: bool) -> None:
    class Counted(Rounds):
        pass

    Counted.rounds = rounds
    case = ALONE
    if in_setup:
        case = Case("Mine", World(cpus=1), ALONE.programs[0], ((),))
    assert run(case, Counted).finding is None


class WaitsForNobody(Merged):
    """``get`` waits with a retry point for what never comes."""

    def setup(self) -> None:
        super().setup()
        self.flag = self.atomic("flag", 1)

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        while self.flag.read():
            self.cpu_relax()
        return super().get(pfn, cache)


def test_a_loop_that_comes_back_to_its_state_is_a_livelock() -> None:
    found = run(ALONE, WaitsForNobody)
    assert found.finding is not None
    assert found.finding.check == "livelock"
    assert found.outcome.steps < 40, "a few rounds are enough"
    assert run(found.case, WaitsForNobody) == found


def test_it_is_one_in_a_set_up_too() -> None:
    found = run(Case("Mine", World(cpus=1), ALONE.programs[0], ((),)), WaitsForNobody)
    assert found.finding is not None
    assert found.finding.check == "livelock"


class CountsForEver(WaitsForNobody):
    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        n = 0
        while self.flag.read() or n:
            n += 1
            self.cpu_relax()
        return super().get(pfn, cache)


class SpinsWithoutRetryPoint(Merged):
    """``put`` raises a flag and waits for a lock, ``get`` waits under that lock for the flag."""

    def setup(self) -> None:
        super().setup()
        self.slots = self.rwlock("slots")
        self.flag = self.atomic("flag")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        with self.slots.read():
            while self.flag.read():
                pass
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        self.flag.set(1)
        with self.slots.write():
            self.flag.set(0)
        super().put(pfn)


def cut_off(case: Case, design: type[RefcountLayer]) -> Run:
    found = run(case, design)
    assert found.finding is None
    assert found.outcome.end is End.BOUND
    assert found.cut_off is not None
    assert run(found.case, design) == found
    return found


def test_a_loop_that_counts_for_ever_is_cut_off() -> None:
    found = cut_off(ALONE, CountsForEver)
    assert found.cut_off is not None
    assert found.cut_off.bucket == "cut-off/CountsForEver.get/-/-"
    assert "CPU 0 is in CountsForEver.get (test_run_unending.py:" in found.cut_off.message


def test_a_spin_without_a_retry_point_is_cut_off_and_says_who_waits_for_what() -> None:
    some = next(
        case
        for step in range(200)
        if run(
            case := TWO.with_schedule(Schedule.of([(0, 1), (step, 0)])), SpinsWithoutRetryPoint
        ).cut_off
    )
    found = cut_off(some, SpinsWithoutRetryPoint)
    assert found.cut_off is not None
    assert found.cut_off.bucket == "cut-off/SpinsWithoutRetryPoint.get/-/slots"
    assert "CPU 1 waits for slots" in found.cut_off.message


class SpinsAlways(Merged):
    """Every ``get`` of a program spins for ever, without a retry point."""

    def setup(self) -> None:
        super().setup()
        self.flag = self.atomic("flag")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        while self.flag.read():
            pass
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        self.flag.set(1)
        super().put(pfn, hint)


def test_two_cpus_that_spin_get_their_turns_and_are_cut_off_both() -> None:
    both = ((Op("zap", (0, 0)), Op("map", (0, 1))), (Op("map", (1, 1)),))
    case = evolve(TWO, programs=both).with_schedule(Schedule.of([(0, 0)]))
    found = cut_off(case, SpinsAlways)
    assert found.cut_off is not None
    assert "CPU 0 is in SpinsAlways.get" in found.cut_off.message
    assert "CPU 1 is in SpinsAlways.get" in found.cut_off.message


class NeedsItsTurn(Merged):
    """``get`` spins until the other CPU has put; some orders keep that CPU from its turn."""

    def setup(self) -> None:
        super().setup()
        self.flag = self.atomic("flag")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        for _ in range(50_000):
            if self.flag.read() != 1:
                break
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        self.flag.set(1)
        self.flag.read()
        self.flag.set(0)
        super().put(pfn)


def test_a_run_that_ends_once_every_cpu_gets_its_turn_has_ended() -> None:
    runs = [
        run(TWO.with_schedule(Schedule.of([(0, 1), (step, 0)])), NeedsItsTurn)
        for step in range(120)
    ]
    longest = max(runs, key=lambda each: each.outcome.steps)
    assert longest.outcome.steps > longest.case.steps
    assert longest.outcome.end is End.REST
    assert longest.cut_off is None
    assert run(longest.case, NeedsItsTurn) == longest
