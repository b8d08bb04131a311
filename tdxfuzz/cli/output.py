"""What commands print: text for people, JSON for scripts, progress lines while they run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from shutil import get_terminal_size
from textwrap import wrap

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tdxfuzz.cli.design_prints import our_stderr, our_stdout

PIPE_WIDTH = 1000
"""Wide enough for any row."""

PROSE_WIDTH = 100
"""For tables of sentences, which people read."""

PLAIN_EVERY = 10.0
"""Seconds between progress lines where there is no terminal."""


class Output:
    """All output of a command goes through here.

    With ``as_json`` standard output gets one JSON document and nothing else, and standard
    error gets only errors.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._last = time.monotonic()
        self._shown = False

    @property
    def _console(self) -> Console:
        return Console(file=our_stdout(), highlight=False, soft_wrap=True)

    def line(self, text: str = "", style: str = "") -> None:
        """A line for people."""
        if not self.as_json:
            self._clear()
            self._console.print(Text(text, style=style))

    def block(self, text: str) -> None:
        """Text that is laid out already: printed unchanged."""
        if not self.as_json:
            self._clear()
            our_stdout().write(text)
            our_stdout().flush()

    def table(
        self, heads: Sequence[str], rows: Sequence[Sequence[object]], prose: bool = False
    ) -> None:
        """A small table. Numbers are aligned to the right.

        A terminal gets the table wrapped to its width. A pipe gets one line for each row, or, if
        the cells are ``prose`` and such lines were too long to read, an entry for each row.
        """
        if self.as_json:
            return
        self._clear()
        table = Table(box=None, pad_edge=False, show_edge=False)
        for i, head in enumerate(heads):
            numeric = bool(rows) and all(isinstance(row[i], int | float) for row in rows)
            table.add_column(
                head, justify="right" if numeric else "left", no_wrap=i == 0, overflow="fold"
            )
        for row in rows:
            table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
        if our_stdout().isatty():
            self._console.print(table)
            return
        text = StringIO()
        Console(file=text, width=PIPE_WIDTH).print(table)
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        if prose and max(map(len, lines)) > PROSE_WIDTH:
            lines = list(_entries(heads, rows))
        our_stdout().writelines(f"{line}\n" for line in lines)

    def progress(self, text: str) -> None:
        """A progress line: overwritten on a terminal, printed rarely elsewhere. It is cut to the
        width of the terminal, for what has gone on to the next line cannot be overwritten.
        """
        if self.as_json:
            return
        now = time.monotonic()
        if our_stderr().isatty():
            if now - self._last >= 0.1:
                self._last = now
                self._shown = True
                width = get_terminal_size().columns
                our_stderr().write(f"\r\x1b[K{text[: width - 1]}")
                our_stderr().flush()
        elif now - self._last >= PLAIN_EVERY:
            self._last = now
            our_stderr().write(f"{text}\n")
            our_stderr().flush()

    def json(self, document: Mapping[str, object]) -> None:
        """The one document of ``--format json``."""
        if self.as_json:
            our_stdout().write(json.dumps(document, indent=2) + "\n")

    def _clear(self) -> None:
        if self._shown:
            our_stderr().write("\r\x1b[K")
            our_stderr().flush()
            self._shown = False


def _entries(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Each row as its first cell, and below it the others, wrapped."""
    for row in rows:
        yield str(row[0])
        for head, cell in zip(heads[1:], row[1:], strict=True):
            told = str(cell) if head == heads[1] else f"{head}: {cell}"
            if str(cell):
                yield from wrap(
                    told,
                    PROSE_WIDTH,
                    initial_indent="    ",
                    subsequent_indent="      ",
                    break_on_hyphens=False,
                )


def print_error(message: str, details: str = "") -> None:
    """An error: one line, and details below it if there are any."""
    our_stderr().write(f"tdxfuzz: {message}\n")
    if details:
        our_stderr().write(details.rstrip() + "\n")
