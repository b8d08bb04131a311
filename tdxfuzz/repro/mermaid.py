"""A run as a Mermaid sequence diagram, for Markdown pages such as an issue or a wiki."""

from __future__ import annotations

import re

from tdxfuzz.case.visible import visible
from tdxfuzz.repro.answers import OPEN
from tdxfuzz.repro.story import story_of
from tdxfuzz.run.result import Run


def mermaid(run: Run) -> str:
    """A traced run as a sequence diagram.

    Raises:
        ValueError: the run kept no trace.
    """
    cpus = range(run.cpus)
    rows = ["sequenceDiagram"]
    rows += [f"    participant C{cpu} as CPU {cpu}" for cpu in cpus]
    rows.append("    participant M as TDX module")
    everyone = f"C0,C{len(cpus) - 1}" if len(cpus) > 1 else "C0"
    story = story_of(run)
    if story.before:
        rows.append(f"    Note over {everyone}: before: {_plain(', '.join(story.before))}")
    for line in story.lines:
        number = "" if line.step is None else f"{line.step}: "
        text = _plain(line.text)
        if line.kind == "mark":
            rows.append(f"    Note over {everyone}: {text.removeprefix('^ ')}")
        elif line.kind != "call":
            rows.append(f"    Note over C{line.cpu}: {text}")
        elif line.answer == OPEN:
            rows.append(f"    C{line.cpu}->>M: {number}{text}")
        else:
            call, _, answer = text.rpartition(") = ")
            if not call.startswith("…"):
                rows.append(f"    C{line.cpu}->>M: {number}{call})")
            rows.append(f"    M-->>C{line.cpu}: {answer}")
    return "\n".join(rows) + "\n"


_MARKS = re.compile("[&<`]|%%+")
"""Entities, tags, code; and directives, which Mermaid looks for in any place."""


def _plain(text: str) -> str:
    """The text without characters that have a meaning in Mermaid, or in Markdown around it."""
    text = re.sub(r"\s+", " ", text).strip().replace(";", ",").replace("#", "no. ")
    return _MARKS.sub(lambda mark: "".join(f"#{ord(c)};" for c in mark[0]), visible(text))
