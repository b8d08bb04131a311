"""Two calls at once, in every order of few preemptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from attrs import frozen

from tdxfuzz.check.module_state import inconsistencies
from tdxfuzz.sim import FollowSchedule, Schedule

from .lab import Lab, Result

Outcome = tuple[str, str]
"""The statuses of both calls."""


def nothing_more(lab: Lab, result: Result) -> None:
    """The host does nothing with what came back."""


@frozen
class Call:
    """A call to make, and what the host does with the result at once."""

    leaf: str
    registers: Mapping[str, int]
    afterwards: Callable[[Lab, Result], None] = nothing_more


def call(leaf: str, **registers: int) -> Call:
    return Call(leaf, registers)


@frozen
class Ending:
    """How one order of a race ended."""

    lab: Lab
    results: tuple[Result, Result]
    switches_used: int

    @property
    def outcome(self) -> Outcome:
        return self.results[0].text, self.results[1].text


def two_cpus() -> Lab:
    """A module with nothing in it."""
    return Lab(cpus=2)


def run_race(
    set_up: Callable[[Lab], object],
    calls: tuple[Call, Call],
    switches: list[tuple[int, int]],
    make: Callable[[], Lab] = two_cpus,
) -> Ending:
    """One order: from a fresh module, call ``i`` on CPU ``i``."""
    lab = make()
    set_up(lab)
    policy = FollowSchedule(Schedule.of(switches))
    results: list[Result | None] = [None, None]

    def body(cpu: int) -> Callable[[], None]:
        def main() -> None:
            made = calls[cpu]
            results[cpu] = result = lab.call(made.leaf, cpu, **made.registers)
            made.afterwards(lab, result)

        return main

    lab.sim.policy = policy
    lab.sim.run([body(0), body(1)])
    first, second = results
    assert first is not None
    assert second is not None
    return Ending(lab, (first, second), len(lab.sim.order))


def all_orders(
    set_up: Callable[[Lab], object],
    first: Call,
    second: Call,
    judge: Callable[[Ending], object] | None = None,
    preemptions: int = 2,
    make: Callable[[], Lab] = two_cpus,
) -> Counter[Outcome]:
    """Every order with one or two preemptions, whoever starts; how often each outcome came.

    Whatever the order, no lock stays held and the module's tables agree at the end,
    unless the module died.
    """
    outcomes: Counter[Outcome] = Counter()

    def run(switches: list[tuple[int, int]]) -> int:
        ending = run_race(set_up, (first, second), switches, make)
        if ending.lab.module.dead is None:
            assert ending.lab.held() == {}
            assert list(inconsistencies(ending.lab.module)) == []
        if judge is not None:
            judge(ending)
        outcomes[ending.outcome] += 1
        return ending.switches_used

    for starter in (0, 1):
        begin = [(0, 1)] if starter else []
        run(begin)
        i = 1
        while run(once := [*begin, (i, 1 - starter)]) == len(once):
            j = i + 1
            while preemptions == 2 and run(twice := [*once, (j, starter)]) == len(twice):
                j += 1
            i += 1
    return outcomes
