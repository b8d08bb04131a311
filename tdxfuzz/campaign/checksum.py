"""A checksum over all rows of a store, kept up to date by every transaction.

SQLite notices a damaged structure, but not a number or a word that a disk has changed. The checksum
is the sum of one hash for each row. So a row that comes or goes changes it by that row's hash
alone. Triggers of our own connection call us for each; readers need none.
"""

from __future__ import annotations

import sqlite3
from hashlib import blake2b

NAME = "checksum"
"""The row of the table ``meta`` that has it. That row is not in the sum."""

_WORD = 1 << 64


class Checksum:
    """The checksum of an open store that we write.

    Args:
        db: the connection. What it writes is counted from now on.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._sum = self._stored = 0
        db.create_function("noted", -1, self._noted)
        # Without it a row that is replaced would not be told as deleted.
        db.execute("PRAGMA recursive_triggers = ON")
        for table in tables(db):
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            old, new = (", ".join(f"{row}.{name}" for name in columns) for row in ("OLD", "NEW"))
            goes, comes = (f"SELECT noted({s}, '{table}', {c});" for s, c in ((-1, old), (1, new)))
            for event, body in (("INSERT", comes), ("DELETE", goes), ("UPDATE", goes + comes)):
                db.execute(
                    f"CREATE TEMP TRIGGER {table}_{event} AFTER {event} ON main.{table}"
                    f" BEGIN {body} END"
                )

    def begin(self) -> None:
        """A transaction begins."""
        self._sum = self._stored = stored_checksum(self._db)

    def write(self) -> None:
        """Before it is committed."""
        if self._sum != self._stored:
            self._db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                (NAME, str(self._sum)),
            )

    def _noted(self, sign: int, table: str, *row: object) -> None:
        self._sum = (self._sum + sign * _hash(table, row)) % _WORD


def tables(db: sqlite3.Connection) -> list[str]:
    """The names of the tables of a store."""
    sql = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return sorted(name for (name,) in db.execute(sql))


def stored_checksum(db: sqlite3.Connection) -> int:
    """What the last transaction wrote; 0 for a store without a row."""
    row = db.execute("SELECT value FROM meta WHERE name = ?", (NAME,)).fetchone()
    return 0 if row is None or not str(row[0]).isdecimal() else int(row[0])


def computed_checksum(db: sqlite3.Connection) -> int:
    """That of the rows as they are."""
    total = sum(_hash(table, row) for table in tables(db) for row in db.execute(_all_of(table)))
    return total % _WORD


def _all_of(table: str) -> str:
    return f"SELECT * FROM {table}"


def _hash(table: str, row: tuple[object, ...]) -> int:
    if table == "meta" and row[0] == NAME:
        return 0
    return int.from_bytes(blake2b(repr((table, row)).encode(), digest_size=8).digest())
