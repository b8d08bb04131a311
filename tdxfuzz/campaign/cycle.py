"""What comes next: designs in turn, and for each of them engines, CPUs and scenarios in turn.

Hunt number n is of design n modulo their number. What a hunt of a design is made of goes round
in a fixed cycle, so that every design gets the same: programs at random by the portfolio, by
random walks and by PCT, those with 2MB pages, a scenario, mutants of the corpus. A check that
has found its bug is muted in every other round of the cycle, for an early bug hides those
behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from random import Random

from attrs import evolve

from tdxfuzz.campaign.settings import Settings
from tdxfuzz.campaign.task import HuntTask
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.run.session import checks_of

CORPUS = "corpus"
SCENARIO = "scenario"
HUGE = "huge"
CYCLE = ("portfolio", CORPUS, HUGE, SCENARIO, "portfolio", CORPUS, "random", "pct")
"""Kinds of hunts. A corpus still empty, and 2MB pages or scenarios for raw SEAMCALLs, give
programs at random."""

PARENTS = 8
"""Cases that a hunt of mutants starts from."""


class HuntCycle:
    """Hands out numbered hunts.

    Args:
        settings: designs, CPUs, seed, cases a hunt.
        counted: numbers that need not be done again.
        parents: asked for the texts of up to so many cases of a design's corpus, chosen with
            the given random source.
    """

    def __init__(
        self,
        settings: Settings,
        counted: Collection[int],
        parents: Callable[[str, int, Random], Sequence[str]],
    ) -> None:
        self._settings = settings
        self._counted = set(counted)
        self._parents = parents
        self._next = 0
        self._again: deque[tuple[int, HuntTask]] = deque()

    def again(self, task: HuntTask) -> None:
        """A hunt got lost: give it out once more, when each design had a turn."""
        self._again.append((self._next + len(self._settings.subjects), task))

    def next(
        self, muted: Callable[[str], Sequence[str]], without: Collection[str]
    ) -> HuntTask | None:
        """The next hunt, None if no design is left.

        Args:
            muted: for a design, the checks that have found their bug.
            without: designs that are hunted no more.
        """
        while self._again and self._next >= self._again[0][0]:
            _, task = self._again.popleft()
            if task.design not in without:
                return task
        subjects = self._settings.subjects
        if all(subject.name in without for subject in subjects):
            return None
        while True:
            number = self._next
            self._next += 1
            design = subjects[number % len(subjects)].name
            if number not in self._counted and design not in without:
                return self._task(number, design, muted(design))

    def _task(self, number: int, design: str, found: Sequence[str]) -> HuntTask:
        settings = self._settings
        turn = number // len(settings.subjects)
        kind = CYCLE[turn % len(CYCLE)]
        cycle = turn // len(CYCLE)
        task = HuntTask(
            number=number,
            design=design,
            engine=kind if kind not in (CORPUS, HUGE, SCENARIO) else "portfolio",
            seed=settings.seed + number,
            cases=settings.batch,
            cpus=settings.cpus[(turn + cycle) % len(settings.cpus)],
            variant=settings.variant,
            faults=settings.faults if design != HOSTILE else (),
            checks=settings.checks,
            muted=_muted(settings.checks or checks_of(design), found) if cycle % 2 else (),
        )
        if settings.scenarios and kind != CORPUS:
            one = settings.scenarios[turn % len(settings.scenarios)]
            return evolve(task, scenario=one.name, scenario_text=one.text, cpus=one.cpus)
        if kind == SCENARIO and design != HOSTILE:
            names = list(SCENARIOS)
            name = names[cycle % len(names)]
            return evolve(task, scenario=name, cpus=SCENARIOS[name].world.cpus)
        if kind == HUGE and design != HOSTILE:
            return evolve(task, huge=True)
        if kind == CORPUS:
            return evolve(
                task, parents=tuple(self._parents(design, PARENTS, Random(settings.seed + number)))
            )
        return task


def kind_of(task: HuntTask) -> str:
    """What a hunt is made of, in a word."""
    if task.parents:
        return CORPUS
    if task.huge:
        return HUGE
    return f"{SCENARIO} {task.scenario}" if task.scenario else task.engine


def _muted(listening: Iterable[str], found: Sequence[str]) -> tuple[str, ...]:
    """Those that found something; none if no check would be left."""
    return tuple(found) if set(listening) - set(found) else ()
