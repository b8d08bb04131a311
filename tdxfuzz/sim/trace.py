"""The record of a run, kept only by runs that ask for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from attrs import frozen

Datum = int | str | bool | None


@frozen
class Record:
    """One thing that happened.

    ``step`` is the number of the next step to be performed when it happened. ``kind``
    is a word of the layer that wrote it (the simulator writes ``step``, ``switch``,
    ``block`` and ``done``); ``data`` holds only ints, strings, bools and None.
    """

    step: int
    cpu: int
    kind: str
    what: str
    data: tuple[Datum, ...] = ()


class Trace:
    """Records in the order in which they happened.

    ``places`` says of some records, by their number, where in a source file they come from. It is
    for people, and no part of the hash.
    """

    __slots__ = ("places", "records")

    def __init__(self) -> None:
        self.places: dict[int, str] = {}
        self.records: list[Record] = []

    def add(self, step: int, cpu: int, kind: str, what: str, *data: Datum) -> None:
        """Append one record."""
        self.records.append(Record(step, cpu, kind, what, data))

    def cut(self, length: int) -> None:
        """Keep the first records only."""
        del self.records[length:]

    def hash(self) -> str:
        """SHA-256 over all records; equal on every machine and Python version."""
        digest = hashlib.sha256()
        for r in self.records:
            digest.update(f"{r.step} {r.cpu} {r.kind} {r.what} {r.data!r}\n".encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)
