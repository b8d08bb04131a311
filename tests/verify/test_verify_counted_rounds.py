"""Rounds of a loop that are counted: none is folded away, and a bug behind them is found."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from attrs import evolve

from tdxfuzz.abi import Registers
from tdxfuzz.case.case import Case
from tdxfuzz.case.operation import Op
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.host.design import PageCache
from tdxfuzz.host.designs.merged import Merged
from tdxfuzz.verify.search import Verdict, verify
from tdxfuzz.verify.worklist import Bounds
from tiers import slow


def scenario(name: str, design: type) -> Case:
    return SCENARIOS[name].case(design.__name__)


ROUNDS = 6
"""More than other states make different: an idle CPU ends, a CPU yields."""


class WarnsAfterAPut(Merged):
    """A bug that waits behind the rounds of a get, once a page was put: no set-up puts one."""

    def setup(self) -> None:
        super().setup()
        self.armed = self.atomic("armed")

    def put(self, pfn: int, hint: bool = False) -> None:
        self.armed.set(1)
        super().put(pfn, hint)

    def came_through(self) -> None:
        if self.armed.read():
            self.warn("came through")


class RelaxesSomeTimes(WarnsAfterAPut):
    """A bug behind a loop that counts: the count must not be folded away."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        for _ in range(ROUNDS):
            self.cpu_relax()
        self.came_through()
        return super().get(pfn, cache)


class CountsDown(WarnsAfterAPut):
    """As above, with a counter of its own."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        left = ROUNDS
        while left:
            left -= 1
            self.cpu_relax()
        self.came_through()
        return super().get(pfn, cache)


class CountsInRegisters(WarnsAfterAPut):
    """The count is in registers, which are ours, but no shared state."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        regs = Registers()
        while regs.r8 < ROUNDS:
            regs.r8 += 1
            self.cpu_relax()
        self.came_through()
        return super().get(pfn, cache)


class GoesThroughAList(WarnsAfterAPut):
    """As above, where no variable tells how far it is."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        for _ in ["same"] * ROUNDS:
            self.cpu_relax()
        self.came_through()
        return super().get(pfn, cache)


class AsksAnIterator(WarnsAfterAPut):
    """As above, with a counter that cannot be read."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        rounds = count()
        while next(rounds) < ROUNDS:
            self.cpu_relax()
        self.came_through()
        return super().get(pfn, cache)


class OverwritesItsVariable(WarnsAfterAPut):
    """As above, where the loop's variable is always the same at the retry point."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        for place in range(ROUNDS):
            place = 0
            self.cpu_relax()
        assert place == 0
        self.came_through()
        return super().get(pfn, cache)


class RelaxesInAList(WarnsAfterAPut):
    """As above, in a comprehension."""

    def relaxed(self) -> bool:
        self.cpu_relax()
        return True

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        assert [self.relaxed() for _ in ["same"] * ROUNDS]
        self.came_through()
        return super().get(pfn, cache)


class Slotted:
    """A counter in a slot."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = ROUNDS


class CountsInASlot(WarnsAfterAPut):
    """As above, with a counter in an object without a dictionary."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        counter = Slotted()
        while counter.left:
            counter.left -= 1
            self.cpu_relax()
        self.came_through()
        return super().get(pfn, cache)


def down_from(rounds: int) -> Callable[[], int]:
    """Each call of what it gives counts down by one."""

    def step() -> int:
        nonlocal rounds
        rounds -= 1
        return rounds

    return step


class CountsInAClosure(WarnsAfterAPut):
    """As above, with a counter that a function keeps."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        left = down_from(ROUNDS)
        while left():
            self.cpu_relax()
        self.came_through()
        return super().get(pfn, cache)


COUNTING = (
    CountsInAClosure,
    RelaxesSomeTimes,
    CountsDown,
    GoesThroughAList,
    AsksAnIterator,
    OverwritesItsVariable,
    CountsInRegisters,
    RelaxesInAList,
    CountsInASlot,
)


@pytest.mark.parametrize("design", COUNTING)
def test_a_bug_behind_rounds_that_are_counted_is_found(design: type[Merged]) -> None:
    """By one CPU alone: no step of another one makes a state of its rounds."""
    program = tuple(map(Op.parse, ("zap 0 0", "map 0 0")))
    case = evolve(scenario("map-zap", design), programs=(program, ()))
    verified = verify(case, design)
    assert verified.verdict is Verdict.FAIL
    assert verified.found is not None
    assert verified.found.outcome.steps > 0
    assert verified.found.finding is not None
    assert verified.found.finding.check == "unexpected-status"


class Windowed(Merged):
    """A put opens a window; what a get does in it is what the designs below differ in."""

    def setup(self) -> None:
        super().setup()
        self.window = self.atomic("window")
        self.left = self.atomic("left")


class CountsInSharedState(Windowed):
    """A put goes round while the window that another CPU opened stands still."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        if self.window.read() == 1:
            self.window.set(2)
            self.window.set(3)
        return super().get(pfn, cache)

    def put(self, pfn: int, hint: bool = False) -> None:
        if self.window.read() == 0:
            self.window.set(1)
        if self.window.read() == 2:
            self.left.set(ROUNDS)
            while self.left.read():
                self.left.dec()
                self.cpu_relax()
            if self.window.read() == 2:
                self.warn("the window is still open")
        super().put(pfn, hint)


def test_rounds_that_count_in_shared_state_are_made_while_another_cpu_stands_still() -> None:
    verified = verify(scenario("map-zap", CountsInSharedState), CountsInSharedState)
    assert verified.verdict is Verdict.FAIL
    assert verified.found is not None
    assert verified.found.finding is not None
    assert verified.found.finding.check == "unexpected-status"


class RelaxesBelowC(Windowed):
    """Correct: a function in C makes the rounds, and ends."""

    def put(self, pfn: int, hint: bool = False) -> None:
        self.window.set(1)
        super().put(pfn, hint)
        self.window.set(0)

    def relaxed(self, _: str) -> bool:
        self.cpu_relax()
        return True

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        if self.window.read():
            assert all(map(self.relaxed, ["same"] * ROUNDS))
        return super().get(pfn, cache)


class RelaxesInAnExpression(RelaxesBelowC):
    """Correct: what was read before the retry point is used behind it."""

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        while self.window.read():
            rounds = self.left.read() + self.relaxed("")
            self.left.set(rounds)
            if rounds > ROUNDS:
                break
            rounds = 0
        return super().get(pfn, cache)


@slow
@pytest.mark.parametrize("design", [RelaxesBelowC, RelaxesInAnExpression])
def test_rounds_that_no_variable_tells_are_no_loop(design: type[Merged]) -> None:
    verified = verify(scenario("map-zap", design), design)
    assert verified.verdict is Verdict.PASS
    assert verified.ends is True


class CountsDownInRegisters(Windowed):
    """Correct: a put makes some rounds, of which only registers know the number."""

    def put(self, pfn: int, hint: bool = False) -> None:
        super().put(pfn, hint)
        regs = Registers()
        while regs.r8 < 3:
            regs.r8 += 1
            self.cpu_relax()


def test_a_loop_that_registers_end_is_no_trap() -> None:
    verified = verify(scenario("zap-zap", CountsDownInRegisters), CountsDownInRegisters, Bounds(1))
    assert verified.verdict is Verdict.PASS
    assert verified.ends is True


class CountsForEver(Merged):
    """A loop whose rounds all differ, and that does not end once a page was put."""

    def setup(self) -> None:
        super().setup()
        self.closed = self.atomic("closed")

    def put(self, pfn: int, hint: bool = False) -> None:
        self.closed.set(1)
        super().put(pfn, hint)

    def get(self, pfn: int, cache: PageCache | None = None) -> int:
        rounds = 0
        while self.closed.read():
            rounds += 1
            self.cpu_relax()
        return super().get(pfn, cache)


def test_rounds_that_are_counted_without_end_leave_it_unknown() -> None:
    verified = verify(evolve(scenario("map-zap", CountsForEver), steps=500), CountsForEver)
    assert verified.verdict is Verdict.UNKNOWN
    assert verified.ends is None
    assert verified.why == "a run of more than 500 steps does not end"
    assert verified.cut_off is not None
