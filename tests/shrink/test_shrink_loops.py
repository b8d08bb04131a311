"""A run that comes back to where it was shrinks too: its loop stays a loop."""

from __future__ import annotations

import pytest
from attrs import evolve

from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design import AtomicT, PageCache
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import run
from tdxfuzz.shrink.loop_search import LoopSearch
from tdxfuzz.shrink.shrink import shrink, size
from tdxfuzz.sim import Schedule
from tdxfuzz.verify.search import verify
from tiers import slow

BUCKET = "livelock/-/-/retry loop"


class TriesTwoLocks(Merged):
    """Two try-locks, which get takes in one order and put in the other."""

    def setup(self) -> None:
        super().setup()
        self.front, self.back = self.atomic("front"), self.atomic("back")

    def take(self, one: AtomicT, other: AtomicT) -> None:
        while True:
            if one.cmpxchg(0, 1) == 0:
                if other.cmpxchg(0, 1) == 0:
                    return
                one.set(0)
            self.cpu_relax()

    def give_back(self) -> None:
        self.front.set(0)
        self.back.set(0)

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        self.take(self.front, self.back)
        result = super().get(pfn, cache)
        self.give_back()
        return result

    def put(self, pfn: int, hint: bool = False) -> None:
        self.take(self.back, self.front)
        super().put(pfn, hint)
        self.give_back()


@pytest.fixture(scope="module")
def looping() -> Run:
    """A loop of two CPUs, in programs with more operations than it needs."""
    found = verify(SCENARIOS["map-zap"].case("TriesTwoLocks"), TriesTwoLocks).found
    assert found is not None
    first, second = found.case.programs
    more = (*first, Op.parse("zap 1 0")), (*second, Op.parse("map 0 0"))
    longer = run(evolve(found.case, programs=more), TriesTwoLocks)
    assert bucket(longer) == BUCKET
    return longer


def bucket(of: Run) -> str:
    assert of.finding is not None
    return of.finding.bucket


def comes_back(of: Run) -> bool:
    livelock = run(of.case, TriesTwoLocks).outcome.livelock
    return livelock is not None and livelock.loop == of.case.schedule.loop


def test_a_loop_shrinks_and_still_comes_back(looping: Run) -> None:
    shrunk = shrink(looping, TriesTwoLocks).run
    assert comes_back(looping)
    assert comes_back(shrunk)
    assert bucket(shrunk) == BUCKET
    assert size(shrunk) < size(looping)
    assert shrunk.case.operations == 2
    assert len(shrunk.case.schedule) <= min(5, len(looping.case.schedule))
    assert shrink(shrunk, TriesTwoLocks).run.case == shrunk.case


class Spins(Merged):
    """A get waits for a flag under a lock; the put that lowers the flag needs the lock."""

    def setup(self) -> None:
        super().setup()
        self.readers, self.busy = self.rwlock("readers"), self.atomic("busy")

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        with self.readers.read():
            while self.busy.read():
                self.cpu_relax()
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        self.busy.set(1)
        with self.readers.write():
            self.busy.set(0)
        super().put(pfn, hint)


@slow
def test_a_loop_that_is_none_is_not_taken() -> None:
    """Whoever goes round often enough has the same bucket, but the claim is wrong."""
    case = SCENARIOS["map-zap"].case("Spins")
    orders = (Schedule.of([(step, 1)]) for step in range(40))
    order = next(each for each in orders if run(case.with_schedule(each), Spins).finding)
    claim = evolve(order, loop=(order.switches[0].step + 1, order.switches[0].step + 3))
    judged = run(case.with_schedule(claim), Spins)
    assert bucket(judged) == BUCKET
    assert judged.outcome.livelock is not None
    assert judged.outcome.livelock.loop != claim.loop
    assert LoopSearch(BUCKET, Spins)._try(case, claim) is None


def test_a_switch_behind_a_loop_that_a_file_claims_is_passed_over(looping: Run) -> None:
    """It may share a step with the loop's second time."""
    schedule = looping.case.schedule
    assert schedule.loop is not None
    first, last = schedule.loop
    behind = [(step, 0) for step in range(last + 1, last + 20)]
    longer = Schedule.of([*((each.step, each.cpu) for each in schedule), *behind])
    case = looping.case.with_schedule(evolve(longer, loop=(first, last)))
    assert comes_back(run(case, TriesTwoLocks))
