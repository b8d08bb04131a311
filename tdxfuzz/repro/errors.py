"""What is wrong with a reproducer file, said so that it can be mended."""

from __future__ import annotations

from pathlib import Path


class ReproducerError(Exception):
    """A file that is not a reproducer this version can replay.

    The text names file, line and field; the file itself is left as it is.
    """

    def __init__(self, path: Path | str, line: int, field: str, problem: str) -> None:
        where = f"{path}:{line}" if line else str(path)
        what = f"{field}: " if field else ""
        super().__init__(f"{where}: {what}{problem}")
        self.path = str(path)
        self.line = line
        self.field = field
        self.problem = problem
