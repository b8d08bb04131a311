"""The coordinator: gives tasks out, writes down what comes back, and knows when to stop.

It alone writes to the folder. An answer is counted in one transaction; the files of a finding or
of the corpus are made from the store, or before it, and put right when the folder is taken up
again. So it may be killed at any moment.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from tdxfuzz.campaign.corpus import Corpus
from tdxfuzz.campaign.cycle import HuntCycle, kind_of
from tdxfuzz.campaign.events import (
    DesignCutOff,
    Event,
    FindingKept,
    FindingMet,
    FindingShrunk,
    Listener,
    Progressed,
    Started,
    Stopped,
    WorkerLost,
)
from tdxfuzz.campaign.folder import Folder
from tdxfuzz.campaign.settings import Settings
from tdxfuzz.campaign.store import CutOff, Store, Totals
from tdxfuzz.campaign.task import (
    ATTEMPTS,
    REPLAYS,
    HuntAnswer,
    HuntTask,
    MeasureAnswer,
    MeasureTask,
    ShrinkAnswer,
    ShrinkTask,
    Task,
)
from tdxfuzz.campaign.workers import FinishedTask, Nobody, Workers, WorkersGoneError, rss_of
from tdxfuzz.case.visible import visible
from tdxfuzz.repro.words import counted
from tdxfuzz.repro.write import write_whole
from tdxfuzz.run.cut_off import CUT_OFF

TICK = 0.5
SAMPLE_SECONDS = 5.0
COPY_SECONDS = 600.0
"""How often the store is copied while a campaign runs."""


@frozen
class Limits:
    """When to stop; None: not for this. ``plateau`` is seconds without anything new."""

    seconds: float | None = None
    cases: int | None = None
    plateau: float | None = None


class Coordinator:
    """One run of a campaign.

    Args:
        folder: taken by us.
        store: open.
        settings: as they stand in the store.
        workers: do the tasks.
        limits: when to stop; counted from the beginning of the campaign.
        listeners: are told every event.
    """

    def __init__(
        self,
        folder: Folder,
        store: Store,
        settings: Settings,
        workers: Workers,
        limits: Limits,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._folder = folder
        self._store = store
        self._settings = settings
        self._workers = workers
        self._limits = limits
        self._listeners = listeners
        self._stop = ""
        self._at_once = False
        self._totals = store.totals()
        self._before = self._totals.seconds
        self._began = self._last_news = self._last_sample = self._last_copy = time.monotonic()
        self._cases_before = self._totals.cases
        self._problems: Counter[object] = Counter()
        self._cut_off = {name: cut for name, cut in store.cut_offs().items() if not cut.is_suspect}
        self._to_repeat_alone: deque[HuntTask] = deque()
        self._alone: Task | None = None
        self._buckets = {(found.design, found.bucket) for found in store.findings()}
        self._to_measure: deque[MeasureTask] = deque()
        self._to_shrink: deque[ShrinkTask] = deque()
        self._running: list[Task] = []
        self._corpus = Corpus(folder, store, settings, self._emit)
        self._cycle = HuntCycle(settings, store.counted(), self._corpus.parents)

    def stop(self, why: str) -> None:
        """Give out nothing more, not even what is to be shrunk; what is being done is counted."""
        self._stop = self._stop or why
        self._at_once = True

    def run(self) -> str:
        """Work until there is a reason to stop; that reason. What was found by then is shrunk
        first, unless :meth:`stop` was called.

        Raises:
            StoreError: the store could not be written.
            OSError: a file could not be.
            WorkersGoneError: there are no workers any more. What was counted is reported first.
        """
        try:
            return self._run()
        except WorkersGoneError as gone:
            self._stop = str(gone)
            self._workers = Nobody()
            self._end(complete=False)
            raise

    def _run(self) -> str:
        names = tuple(subject.name for subject in self._settings.subjects)
        resumed = self._totals.cases > 0
        self._emit(
            Started(
                str(self._folder.root), names, self._workers.size(), self._settings.seed, resumed
            )
        )
        self._folder.sweep()
        with self._store.transaction():
            self._store.clear_suspects()
        self._store.keep_copy()
        self._to_measure.extend(self._corpus.take_up())
        self._totals = self._store.totals()
        self._restore_files()
        while True:
            self._stop = self._stop or self._reason()
            self._give_out()
            if self._stop and not self._running:
                break
            for finished in self._workers.wait(TICK):
                self._take(finished)
            self._sample_if_due()
        self._end(complete=not self._to_shrink)
        return self._stop

    def _end(self, complete: bool) -> None:
        self._sample()
        self._store.keep_copy()
        self._emit(Stopped(self._stop, complete))

    @property
    def seconds(self) -> float:
        """How long coordinators were at work on this campaign, this one included."""
        return self._before + time.monotonic() - self._began

    def _reason(self) -> str:
        limits = self._limits
        if limits.seconds is not None and self.seconds >= limits.seconds:
            return f"the time limit of {limits.seconds:g} s is reached"
        if limits.cases is not None and self._totals.cases >= limits.cases:
            return f"{counted(limits.cases, 'case')} done"
        if limits.plateau is not None and time.monotonic() - self._last_news >= limits.plateau:
            return f"no new feature for {limits.plateau:g} s"
        return ""

    def _give_out(self) -> None:
        for _ in range(self._workers.free()):
            task = self._next()
            if task is None:
                if not self._running:
                    self._stop = self._stop or "no design is left to hunt"
                return
            self._running.append(task)
            self._workers.submit(task)

    def _next(self) -> Task | None:
        """Shrinking takes half of the workers at most, as long as there is something to hunt. A
        task that has cost workers is done while nothing else is.
        """
        if self._at_once or self._alone is not None:
            return None
        if self._to_repeat_alone and not self._stop:
            if not self._running:
                self._alone = self._to_repeat_alone.popleft()
            return self._alone
        if self._to_measure:
            return self._to_measure.popleft()
        hunt = None
        if not self._stop and not (self._to_shrink and self._may_shrink()):
            hunt = self._cycle.next(self._muted, self._cut_off)
        if hunt is None and self._to_shrink:
            return self._to_shrink.popleft()
        return hunt

    def _may_shrink(self) -> bool:
        shrinking = sum(isinstance(one, ShrinkTask) for one in self._running)
        return shrinking < max(self._workers.size() // 2, 1)

    def _take(self, finished: FinishedTask) -> None:
        task, answer = finished.task, finished.answer
        self._running.remove(task)
        if task == self._alone:
            self._alone = None
        if answer is None:
            self._lost(task, finished.problem)
        elif isinstance(task, HuntTask):
            assert isinstance(answer, HuntAnswer)
            self._count(task, answer)
        elif isinstance(task, MeasureTask):
            assert isinstance(answer, MeasureAnswer)
            self._corpus.merge(task, answer)
        else:
            assert isinstance(answer, ShrinkAnswer)
            self._end_shrinking(task, answer)

    def _lost(self, task: Task, problem: str) -> None:
        self._emit(WorkerLost(f"{task.design}: {_what(task)}", problem))
        self._problems[task] += 1
        if isinstance(task, HuntTask):
            if self._problems[task] < ATTEMPTS - 1:
                self._cycle.again(task)
            elif self._problems[task] < ATTEMPTS:
                self._to_repeat_alone.append(task)
            else:
                why = f"suspected, because one task failed {ATTEMPTS} times, at last while nothing "
                self._cut(CutOff(task.design, f"{why}else ran: {problem}", is_suspect=True))
        elif isinstance(task, MeasureTask):
            if self._problems[task] < ATTEMPTS:
                self._to_measure.append(task)
            else:
                self._corpus.merge(task, MeasureAnswer(error=problem))
        elif self._problems[task] < ATTEMPTS:
            self._to_shrink.append(task)
        else:
            self._end_shrinking(task, ShrinkAnswer(error=problem))

    def _cut(self, cut: CutOff) -> None:
        with self._store.transaction():
            self._store.cut_off(cut)
        self._cut_off[cut.design] = cut
        kept = (one for one in self._to_repeat_alone if one.design != cut.design)
        self._to_repeat_alone = deque(kept)
        path = self._folder.error(cut.design, cut.bucket)
        self._emit(DesignCutOff(cut.design, cut.why, str(path) if cut.text else ""))
        # Told first, as findings are.
        if cut.text:
            write_whole(cut.text, path)

    def _count(self, task: HuntTask, answer: HuntAnswer) -> None:
        """Count an answer. Entries of the corpus are on disk before the store knows them."""
        names = self._corpus.write(task.design, answer.interesting)
        met = []
        with self._store.transaction():
            if not self._store.count(task, answer, kind_of(task)):
                return
            news = self._corpus.add(task.design, names)
            cases = self._totals.cases
            for sighting in answer.sightings:
                if self._store.sight(task.design, sighting, cases + sighting.cases, self.seconds):
                    met.append(sighting)
            self._store.set_meta("seconds", f"{self.seconds:.3f}")
        before = self._totals
        self._totals = Totals(
            self.seconds,
            before.cases + answer.cases,
            before.steps + answer.steps,
            before.features + news,
            before.findings + len(met),
            before.unshrunk + len(met),
        )
        if news or met:
            self._last_news = time.monotonic()
        for sighting in met:
            self._buckets.add((task.design, sighting.bucket))
            path = self._folder.original(task.design, sighting.bucket)
            self._to_shrink.append(ShrinkTask(task.design, sighting.bucket, sighting.text))
            self._emit(
                FindingMet(
                    task.design,
                    sighting.bucket,
                    sighting.message,
                    str(path),
                    before.cases + sighting.cases,
                )
            )
            # Told first: the disk may be full. The store has the text, so a resumed campaign
            # writes the files that are missing.
            write_whole(sighting.text, path)
            write_whole(sighting.text, self._folder.finding(task.design, sighting.bucket))
        if answer.error:
            self._cut(
                CutOff(task.design, answer.error, visible(answer.error_bucket), answer.error_text)
            )

    def _end_shrinking(self, task: ShrinkTask, answer: ShrinkAnswer) -> None:
        with self._store.transaction():
            self._store.end_shrinking(task.design, task.bucket, answer)
        if answer.error:
            self._emit(FindingKept(task.design, task.bucket, answer.error))
            return
        path = self._folder.finding(task.design, task.bucket)
        write_whole(answer.text, path)
        self._emit(
            FindingShrunk(
                task.design,
                task.bucket,
                str(path),
                answer.operations,
                answer.preemptions,
                answer.reliable,
                REPLAYS,
            )
        )

    def _restore_files(self) -> None:
        """Files that the store knows and the folder lacks; what was not shrunk."""
        for cut in self._cut_off.values():
            if cut.text:
                self._restore(cut.text, self._folder.error(cut.design, cut.bucket))
        for found in self._store.findings():
            self._restore(found.original, self._folder.original(found.design, found.bucket))
            self._restore(found.text, self._folder.finding(found.design, found.bucket))
            if found.shrunk is None and found.kept_because is None:
                self._to_shrink.append(ShrinkTask(found.design, found.bucket, found.original))

    def _restore(self, text: str, path: Path) -> None:
        if not path.is_file() or path.read_text("utf-8", "replace") != text:
            write_whole(text, path)

    def _muted(self, design: str) -> Sequence[str]:
        return sorted({b.partition("/")[0] for d, b in self._buckets if d == design} - {CUT_OFF})

    def _sample_if_due(self) -> None:
        if time.monotonic() - self._last_sample >= SAMPLE_SECONDS:
            self._sample()

    def _sample(self) -> None:
        self._last_sample = time.monotonic()
        with self._store.transaction():
            self._store.set_meta("seconds", f"{self.seconds:.3f}")
            totals = self._totals = self._store.totals()
            rss = rss_of(os.getpid()) + self._workers.rss()
            self._store.sample(totals, self._workers.size(), rss)
        if time.monotonic() - self._last_copy >= COPY_SECONDS:
            self._store.keep_copy()
            self._last_copy = time.monotonic()
        took = time.monotonic() - self._began
        self._emit(
            Progressed(
                seconds=totals.seconds,
                cases=totals.cases,
                cases_per_second=round((totals.cases - self._cases_before) / took, 1),
                features=totals.features,
                findings=totals.findings,
                unshrunk=totals.unshrunk,
                workers=self._workers.size(),
                rss=rss,
            )
        )

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


def _what(task: Task) -> str:
    if isinstance(task, HuntTask):
        return kind_of(task)
    return f"shrinking {task.bucket}" if isinstance(task, ShrinkTask) else f"running {task.name}"
