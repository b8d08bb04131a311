"""The corpus: one file for each case that reached something new.

The files are what counts: whoever puts some there (from another campaign, say) merges them. The
store knows their names, and what all of them reach; a file it does not know is run to find out,
by the coordinator itself.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from tdxfuzz.campaign.events import EntrySetAside, Event, Merged
from tdxfuzz.campaign.folder import Folder, entry_name
from tdxfuzz.campaign.settings import Settings, load
from tdxfuzz.campaign.store import Store
from tdxfuzz.campaign.task import Interesting
from tdxfuzz.campaign.work import features_in
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.read import parse_case, read_text
from tdxfuzz.sim import HarnessError


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

    def take_up(self) -> None:
        """Make folder and store agree: read each file, run those the store does not know.

        A file that is not what its name says, or cannot be read, is moved aside and named.
        """
        known = set(self._store.entry_names())
        merged = 0
        for path in self._folder.entries():
            try:
                text = read_text(path)
                case = parse_case(text, path)
                if path.name in known and path.name != entry_name(text):
                    raise ReproducerError(path, 0, "", "changed since it was written")
                subject = self._settings.subject(case.design)
                if path.name not in known:
                    reached = features_in(case, load(subject))
                    self._merge(text, case.design, reached)
                    merged += 1
                    if path.name != entry_name(text):
                        path.unlink()
            except (ReproducerError, HarnessError) as error:
                self._emit(EntrySetAside(str(self._folder.put_aside(path)), str(error)))
        there = {path.name for path in self._folder.entries()}
        with self._store.transaction():
            for name in set(self._store.entry_names()) - there:
                self._store.drop_entry(name)
        if merged:
            self._emit(Merged(merged))
        for subject in self._settings.subjects:
            self._names[subject.name] = self._store.entry_names(subject.name)

    def _merge(self, text: str, design: str, features: tuple[int, ...]) -> None:
        name = self._folder.add_entry(text)
        with self._store.transaction():
            self._store.new_features(design, features)
            self._store.add_entry(name, design)

    def write(self, design: str, entries: Sequence[Interesting]) -> dict[str, Interesting]:
        """Write the files of those that reach what the store does not know; by name."""
        known = self._store.known_features(design, [f for one in entries for f in one.features])
        return {
            self._folder.add_entry(entry.text): entry
            for entry in entries
            if not known.issuperset(entry.features)
        }

    def add(self, design: str, entries: dict[str, Interesting]) -> int:
        """Remember them, within a transaction; how many features are new."""
        news = 0
        for name, entry in entries.items():
            news += len(self._store.new_features(design, entry.features))
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
        self._names[design].remove(path.name)
        with self._store.transaction():
            self._store.drop_entry(path.name)
        if path.is_file():
            self._emit(EntrySetAside(str(self._folder.put_aside(path)), why))


def minimise(folder: Folder, store: Store, settings: Settings) -> tuple[int, int]:
    """Remove files that reach nothing that the others do not; how many there were, and are.

    Greedy: of each design the case that reaches most of what is still missing, and so on.

    Raises:
        ReproducerError: a file cannot be read; run the campaign, which sets it aside.
        HarnessError: a design cannot be used.
    """
    reached: dict[str, dict[str, set[int]]] = {}
    for path in folder.entries():
        case = parse_case(read_text(path), path)
        features = features_in(case, load(settings.subject(case.design)))
        reached.setdefault(case.design, {})[path.name] = set(features)
    kept = {name for entries in reached.values() for name in _cover(entries)}
    gone = [name for entries in reached.values() for name in entries if name not in kept]
    with store.transaction():
        for name in gone:
            store.drop_entry(name)
    for name in gone:
        (folder.corpus / name).unlink()
    return len(kept) + len(gone), len(kept)


def _cover(entries: dict[str, set[int]]) -> list[str]:
    missing = set().union(*entries.values())
    chosen = []
    while missing:
        best = max(sorted(entries), key=lambda name: len(entries[name] & missing))
        chosen.append(best)
        missing -= entries[best]
    return chosen
