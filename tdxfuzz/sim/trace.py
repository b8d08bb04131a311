"""The record of a run, kept only by runs that ask for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import ClassVar

from attrs import frozen

from tdxfuzz.sim.declared import Declared

Datum = int | str | bool | None

ASIDE = frozenset({"enter", "leave", "finding"})
"""Kinds of records that are no part of the hash: they help to show a run, and say of it nothing
that the others do not."""


@frozen
class Record:
    """One thing that happened.

    ``step`` is the number of the next step to be performed when it happened. ``kind``
    is a word of the layer that wrote it (the simulator writes ``step``, ``switch``,
    ``block`` and ``done``); ``data`` holds only ints, strings, bools and None. ``source`` is
    the line of code, as ``file.py:12``, if the trace was told how to find it.
    """

    step: int
    cpu: int
    kind: str
    what: str
    data: tuple[Datum, ...] = ()
    source: str = ""


class Trace:
    """Records in the order in which they happened.

    Args:
        where: the line of code for a record of some kind that is about to be made.
    """

    __slots__ = ("_where", "records")

    STATE: ClassVar = Declared(tally="records", fixed="_where")

    def __init__(self, where: Callable[[str], str] | None = None) -> None:
        self.records: list[Record] = []
        self._where = where

    def add(self, step: int, cpu: int, kind: str, what: str, *data: Datum) -> None:
        """Append one record."""
        source = "" if self._where is None else self._where(kind)
        self.records.append(Record(step, cpu, kind, what, data, source))

    def cut(self, length: int) -> None:
        """Keep the first records only."""
        del self.records[length:]

    def hash(self) -> str:
        """SHA-256 over all records; equal on every machine and Python version."""
        digest = hashlib.sha256()
        for r in self.records:
            if r.kind in ASIDE:
                continue
            digest.update(f"{r.step} {r.cpu} {r.kind} {r.what} {r.data!r}\n".encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)
