"""Divergences that the user knows of (``--ignore FILE``), each with a reason."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from tdxfuzz.case.untrusted import UntrustedError, read_text, toml_tables
from tdxfuzz.targets.library.compare import Divergence
from tdxfuzz.targets.library.errors import LibraryError

_FIELDS = ("leaf", "field", "model", "library")


@frozen
class KnownDivergence:
    """What it looks like; an empty text stands for anything."""

    reason: str
    leaf: str = ""
    field: str = ""
    model: str = ""
    library: str = ""

    def covers(self, found: Divergence) -> bool:
        """Whether a divergence is this one: by its values, or by their classes."""
        values = (found.leaf, found.field, found.model, found.library)
        wanted = (self.leaf, self.field, self.model, self.library)
        return all(
            not want or want in (value, value_class)
            for want, value, value_class in zip(wanted, values, found.key, strict=True)
        )


@frozen
class Known:
    """All of them."""

    entries: tuple[KnownDivergence, ...] = ()

    def entry_of(self, found: Divergence) -> KnownDivergence | None:
        """The entry that a divergence is known by, if it is known."""
        return next((entry for entry in self.entries if entry.covers(found)), None)


def read_known(path: Path) -> Known:
    """Read a file of ``[[known]]`` tables.

    Raises:
        LibraryError: it is not one.
    """
    try:
        data = toml_tables(read_text(path, "a list of known divergences"))
    except UntrustedError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise LibraryError(f"{where}: {error}") from None
    tables = data.pop("known", [])
    if data or not isinstance(tables, list):
        raise LibraryError(f"{path}: must have [[known]] tables, and nothing else")
    return Known(tuple(_entry(path, number, table) for number, table in enumerate(tables, start=1)))


def _entry(path: Path, number: int, table: object) -> KnownDivergence:
    where = f"{path}: known {number}"
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise LibraryError(f"{where}: must be a table of texts")
    strange = table.keys() - {"reason", *_FIELDS}
    if strange:
        raise LibraryError(
            f"{where}: {min(strange)!r} is not a field; fields: reason, {', '.join(_FIELDS)}"
        )
    if not table.get("reason", "").strip():
        raise LibraryError(f"{where}: needs a 'reason', so that others know why it is left out")
    if not table.get("leaf"):
        raise LibraryError(f"{where}: needs a 'leaf', so that it does not cover everything")
    return KnownDivergence(**table)


def as_known(found: Divergence) -> str:
    """A divergence as it would stand in such a file, by the classes of its values."""
    lines = [
        f"{name} = {_quoted(value)}"
        for name, value in zip(_FIELDS, found.key, strict=True)
        if value
    ]
    return "\n".join(["[[known]]", *lines, 'reason = ""'])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
