"""Values that wait in no variable while a CPU is at a retry point: no round is folded there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.host.kernel.atomic import AtomicT
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds


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
    [InAVariable, AboutToBeReturned, AboutToBeRaised, InAGenerator, AtTheEndOfARange],
    ids=lambda design: design.__name__,
)
def test_a_bug_behind_such_a_value_is_found(design: type[Base]) -> None:
    verified = verify(SCENARIOS["map-zap"].case(design.__name__), design, Bounds(None))
    assert verified.verdict is Verdict.FAIL


def counts_between(low: int, high: int) -> Callable[[], int]:
    class Between(Merged):
        """The put of CPU 1 reads an atomic that CPU 0 moves between two values."""

        def setup(self) -> None:
            super().setup()
            self.turn = self.atomic("turn", low)

        def get(self, pfn: int, cache: object = None) -> int:
            self.turn.set(high)
            return super().get(pfn, cache)  # type: ignore[arg-type]

        def put(self, pfn: int, hint: bool = False) -> None:
            now = self.turn.read()
            self.turn.add(0)
            if now == high:
                self.turn.add(0)
            super().put(pfn)

    def states() -> int:
        case = SCENARIOS["map-zap"].case("Between")
        return verify(case, Between, Bounds(None)).counts.states

    return states


def test_minus_one_and_minus_two_are_two_values() -> None:
    assert counts_between(-2, -1)() == counts_between(5, 6)()
