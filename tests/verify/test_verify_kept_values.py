"""Values that wait in no variable while a CPU is at a retry point: no round is folded there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.kernel.atomic import AtomicT
from tdxfuzz.run.effects import learnt
from tdxfuzz.run.session import Session
from tdxfuzz.run.shared_state import SharedState
from tdxfuzz.sim import READ
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import first_quick


class TakenTwiceError(Exception):
    """Carries a number."""


class Base(Merged):
    """``put`` takes two samples of the count, and warns if they are of one special timing."""

    def get(self, pfn: int, cache: object = None) -> int:
        self.atomic(f"turns[{pfn >> 9:#x}]").inc()
        return super().get(pfn, cache)  # type: ignore[arg-type]

    def put(self, pfn: int, hint: bool = False) -> None:
        refcount, turns = self.refcount(pfn), self.atomic(f"turns[{pfn >> 9:#x}]")
        before = turns.read()
        moved = turns.read() - before
        i = first = second = 0
        while i < 2:
            first, second = second, 0
            second = self.sample(refcount)
            i += 1
        if moved and (first, second, refcount.read()) == (1, 1, 2):
            self.warn("the timing")
        super().put(pfn)

    def sample(self, refcount: AtomicT) -> int:
        raise NotImplementedError


class InAVariable(Base):
    def sample(self, refcount: AtomicT) -> int:
        value = refcount.read()
        self.cpu_relax()
        return value


class AboutToBeReturned(Base):
    def sample(self, refcount: AtomicT) -> int:
        try:
            return refcount.read()
        finally:
            self.cpu_relax()


class AboutToBeRaised(Base):
    def sample(self, refcount: AtomicT) -> int:
        try:
            try:
                raise TakenTwiceError(refcount.read())
            finally:
                self.cpu_relax()
        except TakenTwiceError as taken:
            return int(taken.args[0])


class InAGenerator(Base):
    @contextmanager
    def sampled(self, refcount: AtomicT, out: list[int]) -> Iterator[None]:
        value = refcount.read()
        yield
        out.append(value)

    def sample(self, refcount: AtomicT) -> int:
        out: list[int] = []
        with self.sampled(refcount, out):
            self.cpu_relax()
        return out[0]


class AtTheEndOfARange(Base):
    def sample(self, refcount: AtomicT) -> int:
        rounds = 0
        for _ in range(refcount.read()):
            self.cpu_relax()
            rounds += 1
        return rounds


@pytest.mark.parametrize(
    "design",
    first_quick(
        1, [AtTheEndOfARange, InAVariable, AboutToBeReturned, AboutToBeRaised, InAGenerator]
    ),
    ids=lambda design: design.__name__,
)
def test_a_bug_behind_such_a_value_is_found(design: type[Base]) -> None:
    verified = verify(SCENARIOS["map-zap"].case(design.__name__), design, Bounds(None))
    assert verified.verdict is Verdict.FAIL


@pytest.mark.parametrize(("one", "other"), [(-1, -2), (0, (1 << 61) - 1)])
def test_values_whose_hashes_are_equal_are_two_observations(one: int, other: int) -> None:
    host = Session(SCENARIOS["map-zap"].case("merged")).host
    state = SharedState(host)
    told = [learnt(AtomicT(host.sim, "x", value), READ, state) for value in (one, other)]
    assert hash(one) == hash(other)
    assert hash(told[0]) != hash(told[1])
