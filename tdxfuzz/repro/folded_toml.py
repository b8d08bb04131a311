"""A reproducer's TOML in short lines, for a mail: it reads as before, because no line is just cut.

What is too long becomes what TOML has for it: a comment of several lines, an array of several
lines, or a string of several lines, whose line ends are escaped. Spaces in front of a line mean
nothing in any of them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

STRING = r'"(?:[^"\\]|\\.)*"'
ELEMENT = re.compile(rf'{STRING}|\[(?:[^\[\]"]|{STRING})*\]|[^\s,\[\]]+')
"""An element of an array as the writer writes it: nothing is nested deeper."""

CHARACTER = re.compile(r"\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}|\\.|.", re.DOTALL)
SPACE = "\\u0020"
"""A space that begins a line of a string: a plain one would be left out."""


def folded(text: str, width: int) -> str:
    """The TOML that the writer wrote, with no line longer than ``width`` characters."""
    return "\n".join(row for line in text.splitlines() for row in _line(line, width)) + "\n"


def _line(line: str, width: int) -> Iterator[str]:
    key, equals, value = line.partition(" = ")
    if len(line) <= width:
        yield line
    elif line.startswith("#"):
        yield from textwrap.wrap(line, width, subsequent_indent="# ", break_on_hyphens=False)
    elif equals and value.startswith("["):
        yield f"{key} = ["
        yield from _elements(ELEMENT.findall(value[1:-1]), width)
        yield "]"
    elif equals and value.startswith('"'):
        yield f'{key} = """\\'
        yield from _string(value, width)
    else:
        yield line


def _elements(elements: list[str], width: int) -> Iterator[str]:
    """As many in a line as fit; a string that fits into none takes several."""
    row = ""
    for element in elements:
        more = f"{row} {element}," if row else f"  {element},"
        if len(more) <= width:
            row = more
            continue
        if row:
            yield row
        row = f"  {element},"
        if len(row) > width and element.startswith('"'):
            yield '  """\\'
            *rows, last = _string(element, width - 1)
            yield from rows
            yield f"{last},"
            row = ""
    if row:
        yield row


def _string(value: str, width: int) -> Iterator[str]:
    """The lines of a string after its opening quotes; a space is the best place for a break."""
    left = CHARACTER.findall(value[1:-1])
    room = width - len('"""')
    while left:
        if left[0] == " ":
            left[0] = SPACE
        taken, used = 0, 0
        while taken < len(left) and used + len(left[taken]) <= room:
            used += len(left[taken])
            taken += 1
        if taken < len(left):
            spaces = [at for at in range(taken) if left[at] == " "]
            taken = spaces[-1] + 1 if spaces else taken
        row, left = "".join(left[:taken]), left[taken:]
        yield row + ("\\" if left else '"""')
