"""The corpus: one file for each case that reached something new.

The files are what counts: those put there by hand (from another campaign, say) are merged. The
store knows their names, and what all of them reach; a file it does not know is run by a worker
to find out.
"""

from __future__ import annotations

import os
from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from attrs import frozen

from tdxfuzz.campaign.events import CorpusMerged, EntrySetAside, Event
from tdxfuzz.campaign.folder import Folder, entry_name
from tdxfuzz.campaign.settings import Settings
from tdxfuzz.campaign.store import Store
from tdxfuzz.campaign.task import ATTEMPTS, CorpusEntry, MeasureAnswer, MeasureTask
from tdxfuzz.campaign.workers import Workers
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.read import parse_case, read_text
from tdxfuzz.sim import HarnessError

TICK = 0.5


class Corpus:
    """The corpus of a campaign.

    Args:
        folder: where the files are.
        store: where their names are, and what they reach.
        settings: the designs.
        emit: told of files set aside, and of files merged.
    """

    def __init__(
        self, folder: Folder, store: Store, settings: Settings, emit: Callable[[Event], None]
    ) -> None:
        self._folder = folder
        self._store = store
        self._settings = settings
        self._emit = emit
        self._names: dict[str, list[str]] = {}
        self._unknown = 0
        self._merged = 0

    def take_up(self) -> list[MeasureTask]:
        """Make folder and store agree: read each file; the tasks that tell what those reach
        which the store does not know, for :meth:`merge`.

        A file that is not what its name says, or cannot be read, is moved aside and named.
        """
        known = set(self._store.entry_names())
        unknown = []
        for path in self._folder.entries():
            try:
                text = read_text(path)
                case = parse_case(text, path)
                self._settings.subject(case.design)
                if path.name not in known:
                    unknown.append(MeasureTask(case.design, path.name, text))
                elif path.name != entry_name(text):
                    raise ReproducerError(path, 0, "", "the file was changed after it was written")
            except (ReproducerError, HarnessError) as error:
                self._emit(EntrySetAside(str(self._folder.put_aside(path)), str(error)))
        there = {path.name for path in self._folder.entries()}
        with self._store.transaction():
            for name in set(self._store.entry_names()) - there:
                self._store.drop_entry(name)
        for subject in self._settings.subjects:
            self._names[subject.name] = self._store.entry_names(subject.name)
        self._unknown = len(unknown)
        return unknown

    def merge(self, task: MeasureTask, answer: MeasureAnswer) -> None:
        """Take in a file by what it reaches; one that could not be run is moved aside."""
        if answer.error:
            self._set_aside(task.design, self._folder.corpus / task.name, answer.error)
        else:
            self._add(task, answer)
        self._unknown -= 1
        if self._unknown == 0 and self._merged:
            self._emit(CorpusMerged(self._merged))

    def _add(self, task: MeasureTask, answer: MeasureAnswer) -> None:
        name = self._folder.add_entry(task.text)
        with self._store.transaction():
            self._store.new_features(task.design, answer.features, name)
            self._store.add_entry(name, task.design)
        names = self._names[task.design]
        if name not in names:
            insort(names, name)
        if name != task.name:
            (self._folder.corpus / task.name).unlink(missing_ok=True)
        self._merged += 1

    def write(self, design: str, entries: Sequence[CorpusEntry]) -> dict[str, CorpusEntry]:
        """Write the files of those that reach what the store does not know; by name."""
        known = self._store.known_features(design, [f for one in entries for f in one.features])
        return {
            self._folder.add_entry(entry.text): entry
            for entry in entries
            if not known.issuperset(entry.features)
        }

    def add(self, design: str, entries: dict[str, CorpusEntry]) -> int:
        """Remember them, within a transaction; how many features are new."""
        news = 0
        for name, entry in entries.items():
            news += len(self._store.new_features(design, entry.features, name))
            self._store.add_entry(name, design)
            insort(self._names.setdefault(design, []), name)
        return news

    def parents(self, design: str, most: int, rng: Random) -> list[str]:
        """The texts of up to ``most`` cases of a design."""
        names = self._names.get(design, [])
        texts = []
        for name in rng.sample(names, min(most, len(names))):
            path = self._folder.corpus / name
            try:
                text = read_text(path)
                parse_case(text, path)
            except ReproducerError as error:
                self._set_aside(design, path, str(error))
            else:
                texts.append(text)
        return texts

    def _set_aside(self, design: str, path: Path, why: str) -> None:
        names = self._names[design]
        if path.name in names:
            names.remove(path.name)
        with self._store.transaction():
            self._store.drop_entry(path.name)
        if os.path.lexists(path):
            self._emit(EntrySetAside(str(self._folder.put_aside(path)), why))


@frozen
class MinimiseResult:
    """How many files there were, and are; ``aside`` are those that could not be run."""

    before: int
    after: int
    aside: tuple[EntrySetAside, ...] = ()


def minimise(folder: Folder, store: Store, settings: Settings, workers: Workers) -> MinimiseResult:
    """Remove files that reach nothing that the others do not.

    Greedy: of each design the case that reaches most of what is still missing, and so on.
    """
    aside: list[EntrySetAside] = []

    def emit(event: Event) -> None:
        if isinstance(event, EntrySetAside):
            aside.append(event)

    before = len(folder.entries())
    corpus = Corpus(folder, store, settings, emit)
    unknown = corpus.take_up()
    tasks = {task.name: task for task in unknown}
    for path in folder.entries():
        if path.name not in tasks:
            text = read_text(path)
            tasks[path.name] = MeasureTask(parse_case(text, path).design, path.name, text)
    reached: dict[str, dict[str, set[int]]] = {}
    for task, answer in _measure(list(tasks.values()), workers):
        corpus.merge(task, answer)
        if not answer.error:
            reached.setdefault(task.design, {})[entry_name(task.text)] = set(answer.features)
    kept = set()
    with store.transaction():
        for design, entries in reached.items():
            for name in _cover(entries):
                kept.add(name)
                store.hand_over(design, entries[name], name)
    gone = [name for entries in reached.values() for name in entries if name not in kept]
    with store.transaction():
        for name in gone:
            store.drop_entry(name)
    for name in gone:
        (folder.corpus / name).unlink()
    return MinimiseResult(before, len(kept), tuple(aside))


def _measure(
    tasks: Sequence[MeasureTask], workers: Workers
) -> list[tuple[MeasureTask, MeasureAnswer]]:
    """Each task with its answer; the error says it if every worker that tried was lost."""
    todo = deque(tasks)
    answers: list[tuple[MeasureTask, MeasureAnswer]] = []
    lost: Counter[str] = Counter()
    while len(answers) < len(tasks):
        for _ in range(min(workers.free(), len(todo))):
            workers.submit(todo.popleft())
        for finished in workers.wait(TICK):
            task = finished.task
            assert isinstance(task, MeasureTask)
            if isinstance(finished.answer, MeasureAnswer):
                answers.append((task, finished.answer))
                continue
            lost[task.name] += 1
            if lost[task.name] < ATTEMPTS:
                todo.append(task)
            else:
                answers.append((task, MeasureAnswer(error=finished.problem)))
    return answers


def _cover(entries: dict[str, set[int]]) -> list[str]:
    missing = set().union(*entries.values())
    chosen = []
    while missing:
        best = max(sorted(entries), key=lambda name: len(entries[name] & missing))
        chosen.append(best)
        missing -= entries[best]
    return chosen
