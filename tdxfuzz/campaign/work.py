"""What a worker does with a task: the answer depends on the task alone."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from itertools import islice
from random import Random

from attrs import evolve

from tdxfuzz.campaign.coverage import end_state, features_of
from tdxfuzz.campaign.settings import Settings, Subject, load, load_module_variant
from tdxfuzz.campaign.task import (
    REPLAYS,
    Answer,
    CorpusEntry,
    HuntAnswer,
    HuntTask,
    MeasureAnswer,
    MeasureTask,
    ShrinkAnswer,
    ShrinkTask,
    Sighting,
    Task,
)
from tdxfuzz.case.case import Case
from tdxfuzz.engines.draw import runs_of
from tdxfuzz.engines.hunt import check_harness
from tdxfuzz.engines.plan import HuntPlan
from tdxfuzz.engines.statistics import Statistics
from tdxfuzz.generate.mutate import cross, mutate
from tdxfuzz.repro.read import parse, parse_case
from tdxfuzz.repro.replay import ReplayResult, replay
from tdxfuzz.repro.reproducer import Expect, Origin, Reproducer
from tdxfuzz.repro.save import kvm_file_of
from tdxfuzz.repro.write import case_to_toml, to_toml
from tdxfuzz.run.blame import DesignError
from tdxfuzz.run.cut_off import CUT_OFF
from tdxfuzz.run.footprint import Conflicts
from tdxfuzz.run.result import Run
from tdxfuzz.run.session import Design, SetupError, run
from tdxfuzz.run.worlds import Worlds
from tdxfuzz.shrink.shrink import shrink
from tdxfuzz.sim import HarnessError

CROSS = 0.2
"""How often a child has two parents."""

MOST_ENTRIES = 64
"""Corpus entries that one answer carries. More come with the hunts after it."""


class TaskRunner:
    """Does tasks in a worker. Loads each design of the campaign when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, Design] = {}
        self._knows_variant = False

    def do(self, task: Task) -> Answer:
        """Do a task. A design that raises is told in the answer."""
        try:
            if not self._knows_variant:
                load_module_variant(self._settings)
                self._knows_variant = True
            subject = self._settings.subject(task.design)
            if task.design not in self._loaded:
                self._loaded[task.design] = load(subject)
            design = self._loaded[task.design]
            if isinstance(task, ShrinkTask):
                return _shrink(task, subject, design)
            if isinstance(task, MeasureTask):
                return MeasureAnswer(features_in(parse_case(task.text), design))
            return _hunt(task, subject, design)
        except (HarnessError, MemoryError, OSError, RecursionError) as error:
            why = f"{type(error).__name__}: {error}"
            return _failed(task, why)


def _failed(task: Task, why: str) -> Answer:
    if isinstance(task, HuntTask):
        return HuntAnswer(task.number, error=why)
    return ShrinkAnswer(error=why) if isinstance(task, ShrinkTask) else MeasureAnswer(error=why)


def _hunt(task: HuntTask, subject: Subject, design: Design) -> HuntAnswer:
    """Hunt to the end, past findings, or until the design raises."""
    plan = task.plan(design)
    worlds = Worlds(design, fingerprint=end_state)
    counts = _HuntCounts(task, subject, worlds)
    rng = Random(plan.seed)
    if task.parents:
        runs = _mutants(plan, [parse_case(text) for text in task.parents], rng, worlds, counts)
    else:
        runs = runs_of(plan, rng, plan.new_engine(), worlds)
    began = time.monotonic()
    error, at_fault = "", None
    try:
        for number, attempt in enumerate(islice(runs, plan.budget.cases), 1):
            is_new = counts.add(attempt)
            check_harness(attempt, number, worlds.design, is_new)
    except DesignError as raised:
        error, at_fault = str(raised), raised.run
    except HarnessError as raised:
        error = str(raised)
    answer = counts.answer(time.monotonic() - began, error)
    if at_fault is None or at_fault.shown is None:
        return answer
    shown = at_fault.shown
    reproducer = Reproducer(
        at_fault.case,
        Expect(shown.bucket, shown.message, at_fault.case.checks),
        design_file=subject.design_file,
        kvm_file=kvm_file_of(worlds.design),
    )
    return evolve(answer, error_bucket=shown.bucket, error_text=to_toml(reproducer))


def _mutants(
    plan: HuntPlan, parents: list[Case], rng: Random, worlds: Worlds, counts: _HuntCounts
) -> Iterator[Run]:
    """Mutants of cases. One that reaches something new has mutants of its own."""
    pool = [evolve(parent, checks=plan.checks) for parent in parents]
    conflicts = Conflicts(worlds)
    while True:
        parent = rng.choice(pool)
        if rng.random() < CROSS:
            parent = cross(parent, rng.choice(pool), rng)
        try:
            child = plan.prepared(mutate(parent, rng, conflicts))
            attempt = worlds.run(child)
        except SetupError:
            continue
        before = len(counts.known)
        yield attempt
        if len(counts.known) > before:
            pool.append(child)


class _HuntCounts:
    """What the runs of one hunt have shown by now. ``known`` are the features they have."""

    def __init__(self, task: HuntTask, subject: Subject, worlds: Worlds) -> None:
        self.known: set[int] = set()
        self._task = task
        self._subject = subject
        self._worlds = worlds
        self._statistics = Statistics()
        self._interesting: list[CorpusEntry] = []
        self._sightings: OrderedDict[str, tuple[Run, int]] = OrderedDict()
        self._times: Counter[str] = Counter()

    def add(self, attempt: Run) -> bool:
        """Count a run; whether it has shown a bucket for the first time."""
        self._statistics.add(attempt)
        fresh = set(features_of(attempt)) - self.known
        if fresh and len(self._interesting) < MOST_ENTRIES:
            self._keep(attempt)
            self.known |= fresh
        if attempt.shown is not None:
            bucket = attempt.shown.bucket
            self._times[bucket] += 1
            if bucket not in self._sightings:
                self._sightings[bucket] = (attempt, self._statistics.cases)
                return True
        return False

    def answer(self, seconds: float, error: str) -> HuntAnswer:
        """All of it; ``error`` says why the hunt ended early, if it did."""
        statistics = self._statistics
        calls = sorted(statistics.calls.items())
        return HuntAnswer(
            number=self._task.number,
            cases=statistics.cases,
            steps=statistics.steps,
            seconds=round(seconds, 6),
            discarded=statistics.discarded,
            schedules=statistics.distinct_schedules,
            calls=tuple((leaf, code, count) for (leaf, code), count in calls),
            seen=dict(sorted(statistics.seen.items())),
            witnesses=statistics.witnesses(),
            interesting=tuple(self._interesting),
            sightings=tuple(map(self._sighting, self._sightings)),
            error=error,
        )

    def _keep(self, attempt: Run) -> None:
        """Run it as its entry will be run: by its schedule, and with all checks listening."""
        again = self._worlds.run(evolve(attempt.case, checks=()))
        fresh = tuple(sorted(set(features_of(again)) - self.known))
        if fresh:
            self.known.update(fresh)
            comment = "Reached something new; an entry of a campaign's corpus."
            kvm_file = kvm_file_of(self._worlds.design)
            text = case_to_toml(again.case, self._subject.design_file, comment, kvm_file)
            self._interesting.append(CorpusEntry(text, fresh))

    def _sighting(self, bucket: str) -> Sighting:
        found, cases = self._sightings[bucket]
        assert found.shown is not None
        case, message = found.case, found.shown.message
        reproducer = Reproducer(
            case,
            Expect(bucket, message, case.checks),
            Origin(case.operations, found.preemptions, self._engine(), self._task.seed),
            self._subject.design_file,
            kvm_file_of(self._worlds.design),
        )
        return Sighting(
            bucket=bucket,
            message=message,
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


def _shrink(task: ShrinkTask, subject: Subject, design: Design) -> ShrinkAnswer:
    before = parse(task.text)
    if before.expect.check == CUT_OFF:
        return ShrinkAnswer(error="a run that does not end is kept as it was found")
    found = run(before.case, design)
    if found.finding is None or not found.finding.is_in(task.bucket):
        shown = "nothing" if found.finding is None else found.finding.bucket
        return ShrinkAnswer(error=f"a replay showed {shown}")
    best = shrink(found, design).run
    assert best.finding is not None
    after = Reproducer(
        best.case,
        Expect(best.finding.bucket, best.finding.message, best.case.checks),
        design_file=subject.design_file,
        kvm_file=kvm_file_of(design),
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
