"""Files that somebody else wrote: read and parsed within bounds of time and memory.

A file may be a device without an end, larger than the memory, or made to keep a parser busy. So
it is looked at before it is opened, no more is read than a file of its kind needs, and the parser
gets no text that takes long.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import tomllib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

MAX_BYTES = 1 << 20
"""Of a file with a case, in bytes."""

MAX_LINE = 1 << 20
"""Of a line of a recording, in characters; real ones have about 60,000."""

MAX_LINES = 50_000
"""Of TOML text: its parser takes microseconds for each."""

MAX_NESTING = 16
"""Of brackets in TOML text; a case has 2."""

MAX_WORD = 200
"""Characters of a number or key without quotes."""

MAX_DOTS = 8
"""In a dotted key; the parser takes time by the square of them."""

MAX_TABLES = 100_000
"""Tables, arrays and dots of one text."""

MAX_TOKENS = 600_000
"""Of one text: 1 MB of switches has so many."""

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class UntrustedError(Exception):
    """A file or text that is not used. ``line`` is 0 if it is about the whole."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A regular file, open for reading.

    Raises:
        UntrustedError: it is none, or cannot be read.
    """
    try:
        _refuse_special(path.stat().st_mode)
        # It may have become a FIFO since; without a writer, that would wait for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            _refuse_special(os.fstat(handle).st_mode)
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise UntrustedError(getattr(error, "strerror", None) or str(error)) from None
    except ValueError as error:
        if "null byte" not in str(error) and "null character" not in str(error):
            raise
        raise UntrustedError("not a name of a file: it has a null byte") from None


def _refuse_special(mode: int) -> None:
    kind = next((name for is_it, name in KINDS if is_it(mode)), None)
    if kind is not None:
        raise UntrustedError(f"{kind}, not a file")


def read_bytes(path: Path, what: str, most: int = MAX_BYTES) -> bytes:
    """The content of a file; ``what`` it should be, for the error.

    Raises:
        UntrustedError: it cannot be read, or has more than ``most`` bytes.
    """
    with opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise UntrustedError(f"larger than {most} bytes, so it is not {what}")
    return data


def read_text(path: Path, what: str, most: int = MAX_BYTES) -> str:
    """The text of a file.

    Raises:
        UntrustedError: as for :func:`read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path, what, most).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UntrustedError("not UTF-8 text") from None


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text, packed if the name says so, with their numbers; empty ones are left out.

    Raises:
        UntrustedError: as for :func:`read_text`, or a line has more than :data:`MAX_LINE`
            characters.
    """
    with opened(path) as raw:
        file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise UntrustedError(f"longer than {MAX_LINE} bytes", number)
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError:
                raise UntrustedError("not UTF-8 text", number) from None
            if text.strip():
                yield number, text


def json_value(text: str) -> object:
    """What a JSON text says.

    Raises:
        UntrustedError: it is not JSON, nested too deeply, or has a number of thousands of digits.
    """
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise UntrustedError(f"not JSON: {error}") from None
    except RecursionError:
        raise UntrustedError("not JSON that is used: brackets are nested too deeply") from None
    except ValueError:
        raise UntrustedError("not JSON that is used: a number has too many digits") from None
    return value


_TOKENS = re.compile(
    r'#[^\n]*|"""(?s:\\.|(?!""").)*+(?:""")?|'
    r"'''(?s:(?!''').)*+(?:''')?|"
    r'"(?:\\.|[^"\\\n])*+"?|'
    r"'[^'\n]*+'?|"
    r"(?P<word>[A-Za-z0-9_+-]+)|(?P<open>[\[{])|(?P<close>[\]}])|(?P<dot>\.)|(?P<end>[\n=,])"
)
"""What TOML text is made of, as far as its parser's time and memory depend on it."""


def toml_tables(text: str) -> dict[str, object]:
    """What a TOML text says.

    Raises:
        UntrustedError: it is not TOML, or would take long to parse.
    """
    _refuse_laborious(text)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        at = int(line.group(1)) if line else text.count("\n") + 1
        raise UntrustedError(f"not valid TOML: {error}", at) from None
    except (ValueError, RecursionError) as error:
        raise UntrustedError(f"not valid TOML: {error}") from None


def _refuse_laborious(text: str) -> None:
    lines = text.count("\n") + 1
    if lines > MAX_LINES:
        raise UntrustedError(f"more than {MAX_LINES} lines")
    depth = dots = tables = 0
    for number, token in enumerate(_TOKENS.finditer(text)):
        kind = token.lastgroup
        problem = f"more than {MAX_TOKENS} words and signs" if number > MAX_TOKENS else ""
        if kind == "word" and token.end() - token.start() > MAX_WORD:
            problem = f"a number or key of more than {MAX_WORD} characters"
        elif kind in ("open", "dot"):
            tables += 1
            depth += kind == "open"
            dots += kind == "dot"
            if depth > MAX_NESTING:
                problem = f"brackets nested more than {MAX_NESTING} deep"
            elif dots > MAX_DOTS:
                problem = f"a key of more than {MAX_DOTS + 1} parts"
            elif tables > MAX_TABLES:
                problem = f"more than {MAX_TABLES} tables and arrays"
        elif kind == "close":
            depth = max(depth - 1, 0)
        elif kind == "end":
            dots = 0
        if problem:
            raise UntrustedError(f"not used: {problem}", text.count("\n", 0, token.start()) + 1)
