"""What commands print: text for people, JSON for scripts, progress lines while they run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from shutil import get_terminal_size
from textwrap import wrap
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tdxfuzz.case.visible import shortened, visible
from tdxfuzz.cli.design_prints import our_stderr, our_stdout

PIPE_WIDTH = 1000
"""Wide enough for any row."""

PROSE_WIDTH = 100
"""For tables of sentences, which people read."""

PLAIN_EVERY = 10.0
"""Seconds between progress lines where there is no terminal."""


_broken: list[OSError] = []
"""Why standard output takes nothing any more; at most one."""


def output_is_broken() -> bool:
    """Whether a part of what the command said could not be written."""
    return bool(_broken)


def begin_output() -> None:
    """A command begins: its output is whole."""
    _broken.clear()


def _discard(stream: TextIO) -> None:
    """From now on what a stream is given goes nowhere: what it has buffered would fail again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextmanager
def _surviving() -> Iterator[None]:
    """A disk that is full must not end a search: the first error is told, and the work goes on,
    because a finding also goes into a file. Nobody waits for it if the reader has gone.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if not _broken:
            _broken.append(error)
            print_error(f"standard output cannot be written: {error.strerror or error}")
            _discard(our_stdout())


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
            with _surviving():
                self._console.print(Text(visible(text), style=style))

    def block(self, text: str) -> None:
        """Text that is laid out already: printed unchanged but for what cannot be seen."""
        if not self.as_json:
            self._clear()
            with _surviving():
                our_stdout().write(visible(text, "\n"))
                our_stdout().flush()

    def table(
        self, heads: Sequence[str], rows: Sequence[Sequence[object]], prose: bool = False
    ) -> None:
        """A small table. Numbers are aligned to the right.

        It has one line for each row. A terminal that is too narrow for them gets
        :func:`narrow` records, and a pipe, if the cells are ``prose`` and the lines were too long
        to read, an entry for each row.
        """
        if self.as_json:
            return
        self._clear()
        lines = _lines(heads, rows)
        widest = max(map(len, lines))
        with _surviving():
            if our_stdout().isatty():
                console = self._console
                if widest > console.width:
                    lines = list(
                        _entries(heads, rows, min(console.width, PROSE_WIDTH))
                        if prose
                        else narrow(heads, rows, console.width)
                    )
                else:
                    console.print(Text(lines.pop(0), style="bold"))
            elif prose and widest > PROSE_WIDTH:
                lines = list(_entries(heads, rows, PROSE_WIDTH))
            our_stdout().writelines(f"{line}\n" for line in lines)

    def progress(self, text: str) -> None:
        """A progress line: overwritten on a terminal, printed rarely elsewhere. It is cut to the
        width of the terminal, for what has gone on to the next line cannot be overwritten.
        """
        if self.as_json:
            return
        # Progress is no result: what it cannot be written to may be full.
        with suppress(OSError):
            self._show_progress(visible(text))

    def _show_progress(self, text: str) -> None:
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
            with _surviving():
                our_stdout().write(json.dumps(document, indent=2) + "\n")
                our_stdout().flush()

    def _clear(self) -> None:
        if self._shown:
            our_stderr().write("\r\x1b[K")
            our_stderr().flush()
            self._shown = False


def _lines(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table as lines, however long they are."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    for i, head in enumerate(heads):
        numeric = bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        table.add_column(head, justify="right" if numeric else "left", no_wrap=i == 0)
    for row in rows:
        table.add_row(*map(_cell, row))
    text = StringIO()
    Console(file=text, width=PIPE_WIDTH).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def narrow(heads: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> Iterator[str]:
    """A table that is wider than the terminal. No cell is left out, and no word of one is cut:
    where a single word is too long, the line is.

    If first cells tell rows apart, each other cell is a line of its row, its column and itself.
    Else each row is one, with the head before each cell.
    """
    names = [_cell(row[0]) for row in rows]
    told_apart = len(heads) > 2 and len(set(names)) == len(names)
    in_row, in_head = (max(map(len, texts), default=0) for texts in (names, heads[1:]))
    for name, row in zip(names, rows, strict=True):
        cells = [(head, _cell(cell)) for head, cell in zip(heads[1:], row[1:], strict=True)]
        said = [(head, cell) for head, cell in cells if cell]
        if told_apart and said:
            for head, cell in said:
                line = f"{name:{in_row}}  {head:{in_head}}  {cell}"
                yield from [line] if len(line) <= width else _folded((name, head, cell), width)
        else:
            yield from _folded(
                (name, *(f"{head}: {cell}" if head else cell for head, cell in said)), width
            )


def _folded(parts: Sequence[str], width: int) -> Iterator[str]:
    """Parts in one line, or in more of them if there is no room; only a part that has a line to
    itself is wrapped.
    """
    line = parts[0]
    for part in parts[1:]:
        if len(line) + 2 + len(part) <= width:
            line += f"  {part}"
        else:
            yield from _wrapped(line, width)
            line = f"    {part}"
    yield from _wrapped(line, width)


def _wrapped(line: str, width: int) -> list[str]:
    return wrap(
        line, width, subsequent_indent="      ", break_long_words=False, break_on_hyphens=False
    )


def _entries(heads: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> Iterator[str]:
    """Each row as its first cell, and below it the others, wrapped."""
    for row in rows:
        yield visible(str(row[0]))
        for head, cell in zip(heads[1:], row[1:], strict=True):
            text = visible(str(cell))
            told = text if head == heads[1] else f"{head}: {text}"
            if text:
                yield from _wrapped(f"    {told}", width)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else visible(str(value))


def print_error(message: str, details: str = "") -> None:
    """An error: one line, and details below it if there are any."""
    # Where errors cannot be written either, the exit code is all that can be told.
    with suppress(OSError):
        our_stderr().write(f"tdxfuzz: {visible(shortened(message))}\n")
        if details:
            our_stderr().write(visible(details.rstrip(), "\n") + "\n")
