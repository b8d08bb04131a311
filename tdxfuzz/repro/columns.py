"""The columns view: one line for each action, one column for each CPU. It fits into a mail."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tdxfuzz.case.names import TDMR_BASE
from tdxfuzz.repro.lines import Line, describe_op, lines_of
from tdxfuzz.run.result import Run

STEP = 6
TEXT = 44
"""The least width of the last column."""

MAX_INDENT = 40

NARROW = 90
"""Below this many columns leaf names lose their ``TDH.``."""


def columns(run: Run, width: int = 100, source: bool = False) -> str:
    """A traced run as text, ``width`` characters wide at the most.

    Every line belongs to one CPU, so its text may continue into the next column. With ``source``
    it ends with file and line, where they are known.
    """
    cpus = run.case.world.cpus
    indent = min(MAX_INDENT, max((width - STEP - TEXT) // max(cpus - 1, 1), 4))
    starts = [STEP + cpu * indent for cpu in range(cpus)]
    out = list(_setup(run, width))
    out.append(_heading(starts))
    for line in lines_of(run):
        text = line.text if width >= NARROW else line.text.replace("TDH.", "")
        if source and line.place:
            text = f"{text} [{line.place}]"
        out.extend(_placed(line, text, starts[line.cpu], width))
    out.append("")
    out.extend(_legend(run, width))
    return "\n".join(row.rstrip() for row in out) + "\n"


def _setup(run: Run, width: int) -> Iterator[str]:
    if not run.case.setup:
        return
    operations = "; ".join(describe_op(run.layout, op) for op in run.case.setup)
    yield from textwrap.wrap(f"before: {operations}", width, subsequent_indent=" " * 8)
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
    step = "" if line.kind in ("mark", "op") else f"{line.step:>5}"
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
