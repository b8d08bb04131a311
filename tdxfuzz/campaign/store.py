"""The store: SQLite, one transaction for each answer, so that none is counted by halves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from attrs import asdict, frozen

from tdxfuzz.campaign.checksum import Checksum
from tdxfuzz.campaign.events import Event
from tdxfuzz.campaign.settings import Settings
from tdxfuzz.campaign.store_file import errors, keep_copy, open_to_read, open_to_write
from tdxfuzz.campaign.task import HuntAnswer, HuntTask, ShrinkAnswer, Sighting
from tdxfuzz.case.visible import visible

MOST_EVENTS = 10_000
BUSY_SECONDS = 30.0
KEPT = "; the counts so far are kept, and the same command continues"


@frozen
class StoredFinding:
    """A row: a bucket under a design. ``shrunk`` is None until that is done; ``kept_because``
    says why it will not be. ``cases`` and ``last_cases`` are those of its first and last sighting,
    ``first_wall`` and ``last_wall`` the times of day (UTC, ISO 8601).
    """

    design: str
    bucket: str
    message: str
    cases: int
    seconds: float
    sightings: int
    original: str
    original_operations: int
    original_preemptions: int
    shrunk: str | None = None
    operations: int | None = None
    preemptions: int | None = None
    reliable: int | None = None
    kept_because: str | None = None
    first_wall: str = ""
    last_wall: str = ""
    last_cases: int = 0

    @property
    def text(self) -> str:
        """The best reproducer there is."""
        return self.original if self.shrunk is None else self.shrunk

    @property
    def check(self) -> str:
        """The id of the check that fires."""
        return self.bucket.partition("/")[0]


@frozen
class CutOff:
    """A design that is hunted no more. ``text`` is the reproducer of its error and ``bucket`` what
    that shows; "" if there is none. ``is_suspect``: workers were lost while it ran, which others
    may have ended.
    """

    design: str
    why: str
    bucket: str = ""
    text: str = ""
    is_suspect: bool = False


@frozen
class Totals:
    """Of the whole campaign. ``seconds`` is how long coordinators were at work."""

    seconds: float
    cases: int
    steps: int
    features: int
    findings: int
    unshrunk: int


class Store:
    """One campaign's store, open.

    Args:
        path: of the database; made if it is not there, unless ``read_only``.
        read_only: for reports: leave it as it is.

    Raises:
        StoreError: it cannot be opened, or is not a store of this version.
    """

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self.path = path
        self._db = open_to_read(path) if read_only else open_to_write(path)
        self._db.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        self._checksum = None if read_only else Checksum(self._db)

    def close(self) -> None:
        """Close; everything committed is kept."""
        self._db.close()

    def keep_copy(self) -> None:
        """Write a copy beside the store: what is left if the disk damages the store.

        Raises:
            StoreError: it cannot be written.
        """
        keep_copy(self._db, self.path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; within another one, a part of that.

        Raises:
            StoreError: it could not be written.
        """
        is_part = self._db.in_transaction
        if is_part:
            yield
            return
        assert self._checksum is not None, "the store was opened to be read"
        with errors(self.path, KEPT):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._checksum.begin()
                yield
                self._checksum.write()
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def meta(self, name: str) -> str | None:
        """A value by name."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        """Keep a value by name."""
        with self.transaction():
            self._db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                (name, value),
            )

    def settings(self) -> Settings | None:
        """What the campaign is about, once that is written down."""
        text = self.meta("settings")
        return None if text is None else Settings.of_text(text)

    def query(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Rows, for reports."""
        with errors(self.path):
            return self._db.execute(sql, values).fetchall()

    # What is counted

    def count(self, task: HuntTask, answer: HuntAnswer, kind: str) -> bool:
        """Count a hunt, unless it was counted before. Within a transaction."""
        db, design = self._db, task.design
        row = (task.number, design, kind, task.cpus, task.seed)
        numbers = (answer.cases, answer.steps, answer.seconds, answer.discarded, answer.schedules)
        added = db.execute(
            "INSERT INTO hunts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*row, *numbers),
        )
        if not added.rowcount:
            return False
        plus = "ON CONFLICT DO UPDATE SET cases = cases + excluded.cases"
        for table, counts in (("seen", answer.seen), ("witnesses", answer.witnesses)):
            db.executemany(
                f"INSERT INTO {table} VALUES (?, ?, ?) {plus}",
                [(design, name, cases) for name, cases in counts.items() if cases],
            )
        db.executemany(
            "INSERT INTO calls VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET calls = calls + excluded.calls",
            [(design, leaf, code, calls) for leaf, code, calls in answer.calls],
        )
        return True

    def new_features(self, design: str, features: Iterable[int], entry: str) -> list[int]:
        """Those that no case of the design had; they are known from now on, by an entry of the
        corpus.
        """
        return [
            feature
            for feature in features
            if self._db.execute(
                "INSERT INTO features VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (design, feature, entry),
            ).rowcount
        ]

    def known_features(self, design: str, features: Iterable[int]) -> set[int]:
        """Those that some case of the design had."""
        return {
            feature
            for feature in features
            if self.query(
                "SELECT 1 FROM features WHERE design = ? AND feature = ?", design, feature
            )
        }

    def add_entry(self, name: str, design: str) -> None:
        """A case of the corpus, by the name of its file."""
        self._db.execute("INSERT INTO corpus VALUES (?, ?) ON CONFLICT DO NOTHING", (name, design))

    def drop_entry(self, name: str) -> None:
        """A case of the corpus whose file is gone. What only it is known for is sought again."""
        self._db.execute("DELETE FROM corpus WHERE name = ?", (name,))
        self._db.execute("DELETE FROM features WHERE entry = ?", (name,))

    def hand_over(self, design: str, features: Iterable[int], entry: str) -> None:
        """Features that an entry has too: they are known by it from now on."""
        self._db.executemany(
            "UPDATE features SET entry = ? WHERE design = ? AND feature = ?",
            [(entry, design, feature) for feature in features],
        )

    def sight(self, design: str, sighting: Sighting, cases: int, seconds: float) -> bool:
        """Count sightings of a bucket; whether they are the first."""
        now = _now()
        first = self._db.execute(
            "INSERT INTO findings (design, bucket, message, cases, seconds, sightings, original,"
            " original_operations, original_preemptions, first_wall, last_wall, last_cases)"
            " VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                design,
                sighting.bucket,
                visible(sighting.message),
                cases,
                seconds,
                sighting.text,
                sighting.operations,
                sighting.preemptions,
                now,
                now,
                cases,
            ),
        ).rowcount
        self._db.execute(
            "UPDATE findings SET sightings = sightings + ?, last_wall = ?, last_cases = ?"
            " WHERE design = ? AND bucket = ?",
            (sighting.times, now, cases, design, sighting.bucket),
        )
        return bool(first)

    def end_shrinking(self, design: str, bucket: str, answer: ShrinkAnswer) -> None:
        """What shrinking came to, or why it came to nothing."""
        if answer.error:
            self._db.execute(
                "UPDATE findings SET kept_because = ? WHERE design = ? AND bucket = ?",
                (visible(answer.error), design, bucket),
            )
            return
        self._db.execute(
            "UPDATE findings SET shrunk = ?, message = ?, operations = ?, preemptions = ?,"
            " reliable = ? WHERE design = ? AND bucket = ?",
            (
                answer.text,
                visible(answer.message),
                answer.operations,
                answer.preemptions,
                answer.reliable,
                design,
                bucket,
            ),
        )

    def cut_off(self, cut: CutOff) -> None:
        """Hunt a design no more."""
        row = (cut.design, visible(cut.why), visible(cut.bucket), cut.text, cut.is_suspect)
        self._db.execute("INSERT OR REPLACE INTO cut_off VALUES (?, ?, ?, ?, ?)", row)

    def clear_suspects(self) -> None:
        """Hunt designs again that were only suspected."""
        self._db.execute("DELETE FROM cut_off WHERE is_suspect")

    def sample(self, totals: Totals, workers: int, rss: int) -> None:
        """Note how it goes."""
        self._db.execute(
            "INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                totals.seconds,
                totals.cases,
                totals.steps,
                totals.features,
                totals.findings,
                workers,
                rss,
            ),
        )

    def log(self, event: Event, seconds: float) -> None:
        """Keep an event; of very many, the last."""
        now = _now()
        with self.transaction():
            added = self._db.execute(
                "INSERT INTO events (seconds, wall, kind, fields) VALUES (?, ?, ?, ?)",
                (seconds, now, type(event).__name__, json.dumps(asdict(event))),
            )
            self._db.execute(
                "DELETE FROM events WHERE id <= ?", ((added.lastrowid or 0) - MOST_EVENTS,)
            )

    # What is known

    def totals(self) -> Totals:
        """Of the whole campaign."""
        with errors(self.path):
            cases, steps = self._db.execute(
                "SELECT coalesce(sum(cases), 0), coalesce(sum(steps), 0) FROM hunts"
            ).fetchone()
            features = self._db.execute("SELECT count(*) FROM features").fetchone()[0]
            findings, unshrunk = self._db.execute(
                "SELECT count(*), count(*) FILTER (WHERE shrunk IS NULL AND kept_because IS NULL)"
                " FROM findings"
            ).fetchone()
        seconds = float(self.meta("seconds") or 0)
        return Totals(seconds, cases, steps, features, findings, unshrunk)

    def findings(self) -> list[StoredFinding]:
        """All, by design and bucket."""
        names = ", ".join(StoredFinding.__annotations__)
        rows = self.query(f"SELECT {names} FROM findings ORDER BY design, bucket")
        # SQLite's columns have the types of the schema, which mypy cannot see.
        return [StoredFinding(*row) for row in rows]  # type: ignore[arg-type]

    def counted(self) -> set[int]:
        """The numbers of the hunts that were counted."""
        return {int(str(number)) for (number,) in self.query("SELECT number FROM hunts")}

    def cut_offs(self) -> dict[str, CutOff]:
        """Designs that are hunted no more, and why."""
        rows = self.query("SELECT design, why, bucket, text, is_suspect FROM cut_off")
        return {
            str(design): CutOff(str(design), str(why), str(bucket), str(text), bool(is_suspect))
            for design, why, bucket, text, is_suspect in rows
        }

    def entry_names(self, design: str | None = None) -> list[str]:
        """The corpus: names of files, by name."""
        sql = "SELECT name FROM corpus WHERE ? IS NULL OR design = ? ORDER BY name"
        return [str(name) for (name,) in self.query(sql, design, design)]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
