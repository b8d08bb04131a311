"""The hunt: random programs, several orders of each, until a finding or the end of the budget."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from random import Random

from attrs import evolve, field, frozen

from tdxfuzz.case.case import Case
from tdxfuzz.case.hostile import HOSTILE
from tdxfuzz.case.scenarios import Scenario
from tdxfuzz.engines.engine import Engine
from tdxfuzz.engines.events import CaseRun, Found, HuntListener
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.generate.choices import RandomChoices
from tdxfuzz.generate.hostile_calls import draw_hostile
from tdxfuzz.generate.huge_programs import Huge, draw_huge_case
from tdxfuzz.generate.programs import draw_case
from tdxfuzz.module.variants import DEFAULT
from tdxfuzz.run.footprint import BaseRun
from tdxfuzz.run.result import Contention, Run
from tdxfuzz.run.session import Design, checks_of, run
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.sim import Fault, HarnessError, Trace, check_determinism

ORDERS = {Contention.NONE: 1, Contention.SHARED: 4, Contention.EDGE: 32}
"""Orders tried of a program besides the one without preemptions: few where the CPUs get
and put no range in common, for little can be found there."""

HOSTILE_ORDERS = 12
"""Orders tried of raw SEAMCALLs that touch something in common."""

CHECK_HARNESS_EVERY = 997


@frozen
class Budget:
    """When to stop: after so many seconds or cases, whichever comes first."""

    seconds: float | None = field(default=None)
    cases: int | None = field(default=None)

    def is_spent(self, statistics: Statistics) -> bool:
        """Whether a search that has done this much must stop."""
        return (self.seconds is not None and statistics.seconds >= self.seconds) or (
            self.cases is not None and statistics.cases >= self.cases
        )


@frozen
class HuntResult:
    """The end of a hunt. ``findings`` has what showed each bucket first; ``interrupted`` tells
    that the user stopped it.
    """

    statistics: Statistics
    findings: Mapping[str, Found] = field(factory=dict)
    interrupted: bool = False

    @property
    def found(self) -> Run | None:
        """The first run with a finding."""
        first = next(iter(self.findings.values()), None)
        return None if first is None else first.run


def hunt(
    design_name: str,
    engine: Engine,
    seed: int,
    budget: Budget,
    cpus: int = 2,
    design: Design = None,
    listeners: Sequence[HuntListener] = (),
    scenario: Scenario | None = None,
    variant: str = DEFAULT.name,
    huge: Huge | None = None,
    faults: Sequence[str] = (),
) -> HuntResult:
    """Search one design for a bug, or raw SEAMCALLs for all that they can break.

    The cases depend on design, engine and seed alone: a longer budget only tries more.

    Args:
        design_name: goes into the cases; a built-in name unless ``design`` is given. With
            "hostile" the search goes on after a finding, for other buckets.
        engine: chooses the orders; a fresh one.
        seed: of the random source.
        budget: when to stop.
        cpus: in each world.
        design: a user's design.
        listeners: are told every event, as it happens.
        scenario: what to run, in place of programs at random; it brings its own CPUs.
        variant: of the module, by name.
        huge: draw programs with 2MB pages.
        faults: kinds of which one or two go wrong in each case (``host/faults.py``).

    Raises:
        HarnessError: the design misused the harness or raised, or a run was not
            deterministic.
    """
    hostile = design_name == HOSTILE
    statistics = Statistics(checks_of(design_name))
    noted = HuntLog(statistics, listeners)
    interrupted = False
    try:
        rng = Random(seed)
        if scenario is None:
            cases = drawn_cases(rng, design_name, cpus, huge)
        else:
            cases = repeat(scenario.case(design_name))
        cases = (with_faults(rng, case.on_module(variant), faults) for case in cases)
        for attempt in attempts(rng, cases, engine, Worlds(design)):
            noted.add(attempt)
            if attempt.finding is not None:
                if not hostile:
                    break
            elif statistics.cases % CHECK_HARNESS_EVERY == 1:
                _check_harness(attempt, design)
            if budget.is_spent(statistics):
                break
    except KeyboardInterrupt:
        interrupted = True
    return noted.hunted(interrupted)


class HuntLog:
    """What a hunt has seen by now; tells its listeners."""

    def __init__(self, statistics: Statistics, listeners: Sequence[HuntListener]) -> None:
        self._statistics = statistics
        self._listeners = listeners
        self._began = time.monotonic()
        self._findings: dict[str, Found] = {}

    def add(self, attempt: Run) -> None:
        """Count a run."""
        statistics = self._statistics
        statistics.seconds = time.monotonic() - self._began
        statistics.add(attempt)
        for listener in self._listeners:
            listener(CaseRun(statistics))
        finding = attempt.finding
        if finding is not None and finding.bucket not in self._findings:
            found = Found(attempt, statistics.cases, statistics.seconds)
            self._findings[finding.bucket] = found
            for listener in self._listeners:
                listener(found)

    def hunted(self, interrupted: bool) -> HuntResult:
        """The end."""
        self._statistics.seconds = time.monotonic() - self._began
        return HuntResult(self._statistics, self._findings, interrupted)


def drawn_cases(
    rng: Random, design_name: str, cpus: int, huge: Huge | None = None
) -> Iterator[Case]:
    """Programs at random, without end."""
    source = RandomChoices(rng)
    while True:
        if design_name == HOSTILE:
            yield draw_hostile(source, cpus)
        elif huge is not None:
            yield draw_huge_case(source, design_name, huge, cpus)
        else:
            yield draw_case(source, design_name, cpus)


MOST_INDEX = 60
"""Faults hit one of the first so many occasions."""


def with_faults(rng: Random, case: Case, kinds: Sequence[str]) -> Case:
    """A case in which one or two things more go wrong, of the given kinds if there are any."""
    if not kinds:
        return case
    drawn = {Fault(rng.choice(kinds), rng.randrange(MOST_INDEX)) for _ in range(rng.choice((1, 2)))}
    return evolve(case, faults=(*case.faults, *sorted(drawn - set(case.faults))))


def attempts(rng: Random, cases: Iterable[Case], engine: Engine, worlds: Worlds) -> Iterator[Run]:
    """Each case in the default order, and in as many others as it is worth.

    Raises:
        HarnessError: the design misused the harness, or raised.
    """
    for case in cases:
        base = BaseRun(case, worlds.design, worlds)
        yield base.run
        for _ in range(orders_of(base)):
            yield engine.attempt(rng, base)


def orders_of(base: BaseRun) -> int:
    """How many orders of a program are worth trying."""
    if base.run.case.design == HOSTILE:
        return HOSTILE_ORDERS if base.conflicts else 0
    return ORDERS[base.run.contention]


def _check_harness(attempt: Run, design: Design) -> None:
    """A clean run once more, twice: the same each time, and the model's tables at one
    after every call.

    Raises:
        HarnessError: they are not.
    """
    case = attempt.case.with_schedule(attempt.schedule)

    def trace() -> Trace:
        careful = run(case, design, traced=True, careful=True)
        if careful.finding is not None:
            raise HarnessError(
                f"the model contradicts itself, please report it: {careful.finding.message}"
            )
        assert careful.trace is not None
        return careful.trace

    check_determinism(trace)
