"""The error for a reproducer file that cannot be used. It says what to correct, and where."""

from __future__ import annotations

from pathlib import Path

from tdxfuzz.case.visible import shortened, visible


class ReproducerError(Exception):
    """This version cannot replay a file.

    The text names file, line and field. The file itself is not changed.
    """

    def __init__(self, path: Path | str, line: int, field: str, problem: str) -> None:
        where = f"{path}:{line}" if line else str(path)
        what = f"{field}: " if field else ""
        super().__init__(visible(shortened(f"{where}: {what}{problem}")))
        self.path = str(path)
        self.line = line
        self.field = field
        self.problem = problem
