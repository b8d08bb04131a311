"""The matrix as a page: tables with links to reproducers, and why a cell is unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

from tdxfuzz.repro.markup import markdown_code, markdown_link, markdown_text
from tdxfuzz.survey.matrix import MatrixCell, MatrixEntry

WIDTH = 100

LEGEND = (
    "**found**: the check fires in some order; the link is a reproducer. Of `livelock`: "
    "**starvation** or **trap**. **clean**: all of the above was finished, the check could have "
    "fired, and it did not. **declared**: some orders do not end, and the design accepts that. "
    "**?**: a bound was reached, or the check never had anything to check; see below."
)


def markdown(
    entries: Sequence[MatrixEntry], command: str, links: Mapping[tuple[str, str], str]
) -> str:
    """The matrix as a page.

    Args:
        entries: all cells.
        command: what made it.
        links: for (design, check), where the reproducer is.
    """
    designs = list(dict.fromkeys(entry.design for entry in entries))
    checks = list(dict.fromkeys(entry.check for entry in entries))
    by_cell = {(entry.design, entry.check): entry for entry in entries}
    lines = [
        "# Which check finds something in which design",
        "",
        f"Made by {markdown_code(command)}.",
        "",
        *wrap(f"Each design: {markdown_text(entries[0].bounds)}.", WIDTH),
        "",
        *wrap(LEGEND, WIDTH),
        "",
        "| design | " + " | ".join(checks) + " |",
        "|---" * (len(checks) + 1) + "|",
    ]
    for design in designs:
        cells = [_cell(by_cell.get((design, check)), links) for check in checks]
        lines.append(f"| {markdown_text(design)} | " + " | ".join(cells) + " |")
    reasons = dict.fromkeys(
        f"- {markdown_text(entry.design)}: {markdown_text(entry.why)}"
        for entry in entries
        if entry.cell is MatrixCell.UNKNOWN and entry.why
    )
    if reasons:
        lines += ["", "## Unknown, and why", "", *reasons]
    return "\n".join(lines) + "\n"


def _cell(entry: MatrixEntry | None, links: Mapping[tuple[str, str], str]) -> str:
    if entry is None:
        return ""
    if entry.cell is MatrixCell.FOUND:
        word = "found" if entry.loop is None else entry.loop.value
        link = links.get((entry.design, entry.check))
        return markdown_link(f"**{word}**", link) if link else f"**{word}**"
    word = entry.cell.value
    return "?" if entry.cell is MatrixCell.UNKNOWN else word
