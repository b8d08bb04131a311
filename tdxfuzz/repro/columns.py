"""The columns view: one line for each action, one column for each CPU. It fits into a mail."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from tdxfuzz.case.names import TDMR_BASE
from tdxfuzz.repro.lines import Line
from tdxfuzz.repro.story import story_of
from tdxfuzz.run.result import Run

STEP = 6
TEXT = 44
"""The least width of the last column."""

MAX_INDENT = 40

NARROW = 90
"""Below this many columns leaf names lose their ``TDH.``."""


def columns(run: Run, width: int = 100, source: bool = False) -> str:
    """A traced run as text, ``width`` characters wide at the most.

    Every line belongs to one CPU, so its text may continue into the next column. ``source``: what
    the design does is shown with file and line, if the run was traced with them.
    """
    story = story_of(run)
    cpus = run.cpus
    indent = min(MAX_INDENT, max((width - STEP - TEXT) // max(cpus - 1, 1), 4))
    starts = [STEP + cpu * indent for cpu in range(cpus)]
    out = list(_before(story.before, width))
    out.append(_heading(starts))
    for line in story.lines:
        text = line.text if width >= NARROW else line.text.replace("TDH.", "")
        if source and line.source:
            text = f"{text}  [{line.source}]"
        out.extend(_placed(line, text, starts[line.cpu], width))
    out.append("")
    out.extend(_legend(run, width))
    return "\n".join(row.rstrip() for row in out) + "\n"


def _before(operations: Sequence[str], width: int) -> Iterator[str]:
    if not operations:
        return
    text = f"before: {'; '.join(operations)}"
    yield from textwrap.wrap(text, width, subsequent_indent=" " * 8)
    yield ""


def _heading(starts: list[int]) -> str:
    row = " step"
    for cpu, start in enumerate(starts):
        row = row.ljust(start) + f"CPU {cpu} "
    return row


def _placed(line: Line, text: str, start: int, width: int) -> Iterator[str]:
    """One line at its column, wrapped with a hanging indent."""
    if line.kind == "op":
        text = f"-- {text}"
    step = "" if line.step is None or line.kind in ("mark", "op") else f"{line.step:>5}"
    if line.kind == "mark":
        start = STEP
    rows = textwrap.wrap(text, width - start, subsequent_indent="    ", break_on_hyphens=False)
    for i, row in enumerate(rows):
        yield (step if i == 0 else "").ljust(start) + row


def _legend(run: Run, width: int) -> Iterator[str]:
    layout = run.layout
    world = run.case.world
    names = ", ".join(
        f"{layout.name_of_range(layout.range_pfn(r) << 12)} = {layout.range_pfn(r) << 12:#x}"
        for r in sorted(
            {
                *world.guest_ranges,
                *world.kernel_ranges,
                *world.fresh_ranges,
                *range(world.first_area, world.ranges),
            }
        )
    )
    text = f"2MB ranges: {names}; A7 is page 7 of A. TDMR at {TDMR_BASE:#x}."
    yield from textwrap.wrap(text, width)
