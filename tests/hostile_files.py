"""Files made to break what reads them: some known kinds, and structured mutants of good ones."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random

from golden_files import HINT_RACE, REGRESSIONS

TEXT = HINT_RACE.read_text(encoding="utf-8")

LABORIOUS = {
    "open brackets": f"format = 1\nx = {'[' * 5_000}",
    "a million brackets": "[" * 1_000_000,
    "open braces": f"format = 1\nx = {'{a=' * 5_000}",
    "a dotted key": f"format = 1\na{'.a' * 500_000} = 1\n",
    "a dotted table": f"format = 1\n[a{'.a' * 300_000}]\n",
    "spaced dots": f"format = 1\na{' . a' * 200_000} = 1\n",
    "quoted dots": "format = 1\n" + "'a'." * 200_000 + "a = 1\n",
    "many dotted keys": "format = 1\n" + "".join(f"a{'.a' * 200}.k{i} = 1\n" for i in range(2_400)),
    "dotted keys of few parts": "".join(f"a.b.c.d.e.f.g.k{i} = 1\n" for i in range(45_000)),
    "an integer": f"format = {'1' * 5_000}\n",
    "a long integer": f"format = 1\nx = {'1' * 900_000}\n",
    "a hex integer": f"format = 0x{'f' * 900_000}\n",
    "a float": f"format = 1\nx = {'1' * 900_000}.5e9\n",
    "array tables": "format = 1\n" + "[[cpu]]\n" * 120_000,
    "tables": "format = 1\n" + "".join(f"[a{i}]\n" for i in range(49_000)),
    "inline arrays": f"format = 1\nx = [{'[],' * 300_000}]\n",
    "inline tables": f"format = 1\nx = [{'{},' * 90_000}]\n",
    "numbers": f"format = 1\nx = [{'1,' * 500_000}]\n",
    "quotes": "format = 1\nx = " + '"' * 900_000,
    "apostrophes": "format = 1\nx = " + "'" * 900_000,
    "backslashes": 'format = 1\nx = "' + "\\" * 900_000,
    "escapes": 'format = 1\nx = "' + "\\n" * 450_000 + '"',
    "lines": "\n" * 1_000_000,
    "an open string of lines": 'format = 1\nx = """' + "\n" * 49_000,
    "spaces": "format = 1\n" + " " * 1_000_000,
    "a comment": f"#{'x' * 1_000_000}",
    "a key": f"{'k' * 1_000_000} = 1",
    "a quoted key": 'format = 1\n"' + "k" * 1_000_000 + '" = 1',
    "operations": TEXT.replace('"map 1 0"', ",".join(['"map 1 0"'] * 80_000)),
    "an operation": TEXT.replace('"map 1 0"', '"map ' + "1 " * 400_000 + '"'),
    "an operand": TEXT.replace('"map 1 0"', '"map 1 ' + "9" * 900_000 + '"'),
    "a hex operand": TEXT.replace('"map 1 0"', '"TDH.PHYMEM.PAMT.ADD rcx=0x' + "f" * 900_000 + '"'),
}
"""Texts of at most a megabyte that would keep a parser, or what reads its result, busy."""

LONG_JSON = {
    "open brackets": "[" * 2_000_000,
    "open braces": '{"a":' * 500_000,
    "an integer": '{"id": ' + "1" * 2_000_000 + "}",
    "empty arrays": '{"id": [' + "[]," * 1_000_000 + "[]]}",
    "no end of a line": "x" * 6_000_000,
    "many lines": "{}\n" * 1_000_000,
    "spaces": " " * 3_000_000 + "{",
    "a string": '"' + "\\u0041" * 500_000 + '"',
}
"""The same of lines of JSON."""


def special_files(folder: Path, suffix: str) -> list[Path]:
    """One file of each kind that is no ordinary one; the names end in ``suffix``."""
    made: dict[str, Callable[[Path], object]] = {
        "fifo": os.mkfifo,
        "zero": lambda path: path.symlink_to("/dev/zero"),
        "random": lambda path: path.symlink_to("/dev/urandom"),
        "terminal": lambda path: path.symlink_to("/dev/tty"),
        "link": lambda path: path.symlink_to(path.name),
        "links": lambda path: path.symlink_to(f"x{path.name}"),
        "xlinks": lambda path: path.symlink_to(path.name.removeprefix("x")),
        "nowhere": lambda path: path.symlink_to("gone"),
        "folder": Path.mkdir,
        "sparse": _sparse,
        "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00" * 100),
        "empty": Path.touch,
        "process": lambda path: path.symlink_to("/proc/self/mem"),
        "socket": _socket,
    }
    for name, make in made.items():
        make(folder / f"{name}{suffix}")
    hostile = [b"\xff\xfe" + os.fsencode(suffix), os.fsencode(f"\x1b[2J\u202e\n{suffix}")]
    paths = [folder / os.fsdecode(name) for name in hostile]
    for path in paths:
        path.write_text("no file of this kind", encoding="utf-8")
    return sorted([*(folder / f"{name}{suffix}" for name in made), *paths])


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    finally:
        os.chdir(here)


NASTY = (
    *("0", "-1", "1e999", "nan", "true", "[]", "{}", '""', "''", "[[[[", "]", "}", '"""', "\x00"),
    *(
        "9" * 30,
        "9" * 5_000,
        "0x" + "f" * 17,
        "-9223372036854775809",
        "1979-05-27",
        "\\",
        "\r",
        "#",
    ),
    *('"\x1b[31m"', '"\u202e"', '"\\ud800"', "\ud800", "\ufeff", "a.b.c.d", "null", "\n[expect]\n"),
    *('"map 3 7"', '"enter 0 0 9"', '"TDH.MNG.CREATE rcx=B9|7"', "[[0, 0]]", "[[1, 99]]", "[9, 1]"),
)
"""What takes the place of a token."""

TOKENS = re.compile(r'"[^"\n]*"|[\w.-]+|[^\w\s]|\n')


LARGE = 100_000


def mutant(rng: Random, texts: list[str]) -> str:
    """One of the texts after some changes: of tokens, of lines, of bytes, or by another one. What
    has grown large is left: repeated lines of repeated lines would fill the memory of the test.
    """
    text = rng.choice(texts)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if len(text) > LARGE:
            break
        text = rng.choice((_token, _token, _token, _swap, _lines, _cut, _byte, _splice))(
            rng, text, texts
        )
    return text


def _token(rng: Random, text: str, _: list[str]) -> str:
    tokens = list(TOKENS.finditer(text))
    if not tokens:
        return text
    token = rng.choice(tokens)
    return text[: token.start()] + rng.choice(NASTY) + text[token.end() :]


def _swap(rng: Random, text: str, texts: list[str]) -> str:
    tokens, others = list(TOKENS.finditer(text)), list(TOKENS.finditer(rng.choice(texts)))
    if not tokens or not others:
        return text
    token = rng.choice(tokens)
    return text[: token.start()] + rng.choice(others).group() + text[token.end() :]


def _lines(rng: Random, text: str, _: list[str]) -> str:
    lines = text.splitlines(keepends=True)
    if not lines:
        return text
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines) + 1)
    line = lines[at] if rng.random() < 0.5 else lines.pop(at)
    return "".join([*lines[:to], *[line] * rng.choice((0, 1, 2, 70)), *lines[to:]])


def _cut(rng: Random, text: str, _: list[str]) -> str:
    one, other = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    return rng.choice(
        (text[:one], text[one:], text[:one] + text[other:], text[:other] + text[one:])
    )


def _byte(rng: Random, text: str, _: list[str]) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + chr(rng.choice((0, 7, 10, 27, 34, 0x7F, 0x202E, 0xFFFF))) + text[at + 1 :]


def _splice(rng: Random, text: str, texts: list[str]) -> str:
    other = rng.choice(texts)
    return text[: rng.randint(0, len(text))] + other[rng.randint(0, len(other)) :]


def reproducer_texts() -> list[str]:
    """Good reproducers: all that are committed."""
    return [path.read_text(encoding="utf-8") for path in REGRESSIONS]


def divergence_texts() -> list[str]:
    """Good divergences: recordings from reset, short ones, that expect something."""
    corpus = Path(__file__).parents[1] / "corpus" / "conformance" / "third"
    texts = []
    for name, wanted in (("boot", 3), ("boot_interleaved", 3)):
        with gzip.open(corpus / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            lines = sorted(file, key=len)
        for line in lines[:: max(len(lines) // wanted, 1)][:wanted]:
            data = json.loads(line)
            expect = {"leaf": "SYS.INIT", "field": "status", "model": "a", "library": "b"}
            texts.append(json.dumps({**data, "expect": expect}))
    return texts
