"""The file of a store: made whole, told from what is none, and copied.

A campaign must never begin anew because its store was damaged. So a file that is there is opened
only if SQLite finds it sound, it has our tables, and its rows have the checksum that was written
with them. It is made under another name first: a file of no bytes is damaged, never a beginning.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from tdxfuzz.campaign.checksum import computed_checksum, stored_checksum
from tdxfuzz.repro.write import sync_folder

FORMAT = 2
APPLICATION = 0x7464786
"""In SQLite's header: whose file it is."""

COPY = "copy.sqlite"
RESULTS = ("findings", "originals", "errors")
"""Folders beside a store that only a campaign writes to."""

_MAGIC = b"SQLite format 3\0"


class StoreError(Exception):
    """The store cannot be opened, read or written; names the file and says what to do."""


class _DamagedError(Exception):
    """A file is no whole store; its text says how."""


def create(path: Path) -> None:
    """Make an empty store.

    Raises:
        StoreError: it cannot be written, or a campaign that was here has lost its store.
    """
    _refuse_if_lost(path)
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.unlink(missing_ok=True)
    with errors(path), closing(sqlite3.connect(unfinished, isolation_level=None)) as db:
        schema = files("tdxfuzz.campaign").joinpath("schema.sql").read_text("utf-8")
        db.executescript(
            f"BEGIN; {schema}; PRAGMA user_version = {FORMAT};"
            f" PRAGMA application_id = {APPLICATION}; COMMIT;"
        )
    unfinished.replace(path)
    sync_folder(path.parent)


def open_to_write(path: Path) -> sqlite3.Connection:
    """A store that was found whole; made if there is none.

    Raises:
        StoreError: it is none, or damaged, or cannot be written.
    """
    if not os.path.lexists(path):
        create(path)
    open_to_read(path).close()
    with errors(path):
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        return db


def open_to_read(path: Path) -> sqlite3.Connection:
    """A store that was found whole, as it is.

    Raises:
        StoreError: it is none, or damaged.
    """
    if not os.path.lexists(path):
        _refuse_if_lost(path)
        raise StoreError(f"{path}: no such store; start one: tdxfuzz campaign run DIR")
    try:
        return _open_whole(path)
    except _DamagedError as why:
        raise StoreError(_lost(path, str(why))) from None


def keep_copy(db: sqlite3.Connection, path: Path) -> None:
    """Write a copy of an open store beside it, whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    copy = path.with_name(COPY)
    unfinished = copy.with_name(f".{COPY}.tmp")
    with errors(copy):
        unfinished.unlink(missing_ok=True)
        with closing(sqlite3.connect(unfinished)) as target:
            db.backup(target)
            # Of one file, which can be read where nothing can be written.
            target.execute("PRAGMA journal_mode = DELETE")
        unfinished.replace(copy)
        sync_folder(copy.parent)


@contextmanager
def errors(path: Path, kept: str = "") -> Iterator[None]:
    """Say which store it was that SQLite or the disk has refused; ``kept`` follows.

    Raises:
        StoreError: there was such an error.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}{kept}") from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}{kept}") from None


def _open_whole(path: Path) -> sqlite3.Connection:
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind):
            raise _DamagedError("no file")
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from None
    if not head:
        raise _DamagedError("damaged: the file is empty")
    if head != _MAGIC:
        raise _DamagedError("damaged: file is not a database")
    try:
        db = _connect(path)
    except sqlite3.Error as error:
        raise _DamagedError(f"cannot be opened: {error}") from None
    try:
        _check(db)
    except _DamagedError:
        db.close()
        raise
    except (sqlite3.Error, UnicodeError, ValueError, OverflowError, MemoryError) as error:
        db.close()
        raise _DamagedError(f"damaged: {error}") from None
    return db


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, also where nothing can be written: SQLite needs a file
    beside the store for its readers, so there a copy in memory is read.
    """
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return db
    except sqlite3.OperationalError as error:
        db.close()
        if error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            return _in_memory(path)
        raise


def _in_memory(path: Path) -> sqlite3.Connection:
    memory = sqlite3.connect(":memory:", isolation_level=None)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / path.name
        for ending in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{ending}", f"{here}{ending}")
        with closing(sqlite3.connect(here)) as copied:
            copied.backup(memory)
    return memory


def _check(db: sqlite3.Connection) -> None:
    """Read all of it.

    Raises:
        _DamagedError: it is not a whole store of this version.
        sqlite3.Error: it cannot be read.
    """
    db.execute("BEGIN")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if version != FORMAT and "hunts" in names:
        # The first format had no number.
        raise _DamagedError(
            f"format {version or 1}, not {FORMAT}, because another version of tdxfuzz made it, "
            "or because it is damaged"
        )
    told = [str(text) for (text,) in db.execute("PRAGMA integrity_check(1)")]
    if told != ["ok"]:
        raise _DamagedError(f"damaged: {' '.join(told[0].split())}")
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION or version != FORMAT or _schema(db) != _our_schema():
        raise _DamagedError("damaged: it is not the store of a campaign")
    if computed_checksum(db) != stored_checksum(db):
        raise _DamagedError("damaged: its rows are not those that were written")
    db.execute("COMMIT")


def _schema(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    return db.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
    ).fetchall()


def _our_schema() -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(files("tdxfuzz.campaign").joinpath("schema.sql").read_text("utf-8"))
        return _schema(db)


def _lost(path: Path, why: str) -> str:
    """An error that says what can be done about a store that cannot be used."""
    folder = path.parent
    copy = folder / COPY
    begin = f"{path}: {why}; nothing was changed, and no campaign is begun in its place"
    try:
        _open_whole(copy).close()
    except (StoreError, _DamagedError):
        return (
            f"{begin}. There is no whole copy. Run in a new folder NEW, and take over the cases: "
            f"tdxfuzz campaign merge NEW {shlex.quote(str(folder))}"
        )
    written = datetime.fromtimestamp(copy.stat().st_mtime, UTC).isoformat(timespec="seconds")
    name = shlex.quote(path.name)
    return (
        f"{begin}. {copy} is a whole copy of {written}. To go on from there: "
        f"cd {shlex.quote(str(folder))} && mkdir damaged && "
        f"(mv {name}* damaged; cp {COPY} {name})"
    )


def _refuse_if_lost(path: Path) -> None:
    folders = [path.parent / name for name in RESULTS]
    if (path.parent / COPY).exists() or any(one.is_dir() and any(one.iterdir()) for one in folders):
        raise StoreError(_lost(path, "gone, though a campaign was here"))
