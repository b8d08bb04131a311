"""What a worker does with a task: the answer depends on the task alone."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from itertools import islice, repeat
from random import Random

from attrs import evolve

from tdxfuzz.campaign.coverage import end_state, features_of
from tdxfuzz.campaign.settings import Settings, Subject, load
from tdxfuzz.campaign.task import (
    REPLAYS,
    Answer,
    HuntAnswer,
    HuntTask,
    Interesting,
    MeasureAnswer,
    MeasureTask,
    ShrinkAnswer,
    ShrinkTask,
    Sighting,
    Task,
)
from tdxfuzz.case.case import Case
from tdxfuzz.case.scenarios import SCENARIOS
from tdxfuzz.engines import ENGINES
from tdxfuzz.engines.hunt import attempts, drawn_cases
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.generate.huge_programs import Huge
from tdxfuzz.generate.mutate import cross, mutate
from tdxfuzz.repro.read import parse, parse_case
from tdxfuzz.repro.replay import ReplayResult, replay
from tdxfuzz.repro.reproducer import Expect, Origin, Reproducer
from tdxfuzz.repro.write import case_to_toml, to_toml
from tdxfuzz.run.footprint import Conflicts
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, SetupError, checks_of, run
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.sim import HarnessError, Schedule

CROSS = 0.2
"""How often a child has two parents."""

MOST_ENTRIES = 64
"""Interesting cases that one answer carries; more come with the hunts after it."""


class TaskRunner:
    """A worker's place: the designs of the campaign, loaded when they are first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, Design] = {}

    def do(self, task: Task) -> Answer:
        """Do a task. A design that raises is told in the answer."""
        try:
            subject = self._settings.subject(task.design)
            if task.design not in self._loaded:
                self._loaded[task.design] = load(subject)
            design = self._loaded[task.design]
            if isinstance(task, ShrinkTask):
                return _shrunk(task, subject, design)
            if isinstance(task, MeasureTask):
                return MeasureAnswer(features_in(parse_case(task.text), design))
            return _HuntCounts(task, subject, design).hunted()
        except (HarnessError, MemoryError, OSError, RecursionError) as error:
            why = f"{type(error).__name__}: {error}"
            return _failed(task, why)


def _failed(task: Task, why: str) -> Answer:
    if isinstance(task, HuntTask):
        return HuntAnswer(task.number, error=why)
    return ShrinkAnswer(error=why) if isinstance(task, ShrinkTask) else MeasureAnswer(error=why)


class _HuntCounts:
    """One hunt under way."""

    def __init__(self, task: HuntTask, subject: Subject, design: Design) -> None:
        self._task = task
        self._subject = subject
        self._rng = Random(task.seed)
        self._worlds = Worlds(design, fingerprint=end_state)
        checks = checks_of(task.design)
        self._listening = tuple(check for check in checks if check not in task.muted)
        self._statistics = Statistics(checks)
        self._known: set[int] = set()
        self._interesting: list[Interesting] = []
        self._sightings: OrderedDict[str, tuple[Run, int]] = OrderedDict()
        self._times: Counter[str] = Counter()

    def hunted(self) -> HuntAnswer:
        """Hunt to the end, or until the design raises."""
        began = time.monotonic()
        error = ""
        try:
            for attempt in islice(self._attempts(), self._task.cases):
                self._note(attempt)
        except HarnessError as raised:
            error = str(raised)
        done = self._statistics
        return HuntAnswer(
            number=self._task.number,
            cases=done.cases,
            steps=done.steps,
            seconds=round(time.monotonic() - began, 6),
            discarded=done.discarded,
            schedules=done.distinct_schedules,
            calls=tuple((leaf, code, count) for (leaf, code), count in sorted(done.calls.items())),
            seen=dict(sorted(done.seen.items())),
            witnesses=done.witnesses(),
            interesting=tuple(self._interesting),
            sightings=tuple(map(self._sighting, self._sightings)),
            error=error,
        )

    def _attempts(self) -> Iterator[Run]:
        task = self._task
        if task.parents:
            yield from self._children([parse_case(text) for text in task.parents])
            return
        cases = map(self._heard, self._cases())
        yield from attempts(self._rng, cases, ENGINES[task.engine](), self._worlds)

    def _cases(self) -> Iterator[Case]:
        task = self._task
        if task.scenario:
            return repeat(self._on_module(SCENARIOS[task.scenario].case(task.design)))
        drawn = drawn_cases(
            self._rng, task.design, task.cpus, Huge(task.huge) if task.huge else None
        )
        return map(self._on_module, drawn)

    def _on_module(self, case: Case) -> Case:
        asked = self._task.variant
        return case if case.world.module_variant == asked else case.on_module(asked)

    def _heard(self, case: Case) -> Case:
        return evolve(case, checks=self._listening) if self._task.muted else case

    def _children(self, parents: list[Case]) -> Iterator[Run]:
        """Mutants of cases; one that reaches something new has children of its own."""
        pool = [self._heard(parent) for parent in parents]
        conflicts = Conflicts(self._worlds)
        while True:
            parent = self._rng.choice(pool)
            if self._rng.random() < CROSS:
                parent = cross(parent, self._rng.choice(pool), self._rng)
            try:
                mutant = mutate(parent, self._rng, conflicts)
                child = self._heard(self._on_module(mutant))
                attempt = self._worlds.run(child)
            except SetupError:
                continue
            before = len(self._known)
            yield attempt
            if len(self._known) > before:
                pool.append(child)

    def _note(self, attempt: Run) -> None:
        self._statistics.add(attempt)
        fresh = set(features_of(attempt)) - self._known
        if fresh and len(self._interesting) < MOST_ENTRIES:
            self._keep(attempt)
            self._known |= fresh
        if attempt.finding is not None:
            bucket = attempt.finding.bucket
            self._times[bucket] += 1
            if bucket not in self._sightings:
                self._sightings[bucket] = (attempt, self._statistics.cases)

    def _keep(self, attempt: Run) -> None:
        """Run it as its entry will be run: by its schedule, and with all checks listening."""
        switches = Schedule.of(attempt.outcome.switches)
        again = self._worlds.run(evolve(attempt.case.with_schedule(switches), checks=()))
        fresh = tuple(sorted(set(features_of(again)) - self._known))
        if fresh:
            self._known.update(fresh)
            case = again.case.with_schedule(again.schedule)
            comment = "Reached something new; an entry of a campaign's corpus."
            text = case_to_toml(case, self._subject.design_file, comment)
            self._interesting.append(Interesting(text, fresh))

    def _sighting(self, bucket: str) -> Sighting:
        found, cases = self._sightings[bucket]
        assert found.finding is not None
        case = found.case.with_schedule(found.schedule)
        reproducer = Reproducer(
            case,
            Expect(bucket, found.finding.message, case.checks),
            Origin(case.operations, found.preemptions, self._engine(), self._task.seed),
            self._subject.design_file,
        )
        return Sighting(
            bucket=bucket,
            message=found.finding.message,
            text=to_toml(reproducer),
            operations=case.operations,
            preemptions=found.preemptions,
            cases=cases,
            times=self._times[bucket],
        )

    def _engine(self) -> str:
        return "mutation" if self._task.parents else self._task.engine


def features_in(case: Case, design: Design) -> tuple[int, ...]:
    """The features of one case, in order.

    Raises:
        HarnessError: as for :func:`tdxfuzz.run.session.run`.
    """
    alone = Worlds(design, most=1, fingerprint=end_state).run(evolve(case, checks=()))
    return tuple(sorted(set(features_of(alone))))


def _shrunk(task: ShrinkTask, subject: Subject, design: Design) -> ShrinkAnswer:
    before = parse(task.text)
    found = run(before.case, design)
    if found.finding is None or found.finding.bucket != task.bucket:
        shown = "nothing" if found.finding is None else found.finding.bucket
        return ShrinkAnswer(error=f"a replay showed {shown}")
    best = shrink(found, design).run
    assert best.finding is not None
    after = Reproducer(
        best.case,
        Expect(best.finding.bucket, best.finding.message, best.case.checks),
        before.origin,
        subject.design_file,
    )
    text = to_toml(after)
    again = [replay(parse(text), design) for _ in range(REPLAYS)]
    hashes = Counter(one.trace_hash for one in again if one.result is ReplayResult.FAILED)
    return ShrinkAnswer(
        text=text,
        message=best.finding.message,
        operations=best.case.operations,
        preemptions=best.preemptions,
        reliable=max(hashes.values(), default=0),
    )
