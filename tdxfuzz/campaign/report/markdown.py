"""Markdown for the page of a CI job."""

from __future__ import annotations

from tdxfuzz.campaign.report.data import Data, ShownFinding
from tdxfuzz.campaign.report.words import deaf, headline, what_clean_means

MOST_TRACES = 10
"""A job's page holds a megabyte; the rest is in the folder."""


def markdown(data: Data) -> str:
    """The text of the page."""
    lines = [f"## {headline(data)}", "", what_clean_means(data), ""]
    lines += ["| design | verdict | cases | buckets | |", "|---|---|---:|---:|---|"]
    lines += [
        f"| {_cell(design.name)} | {design.verdict} | {design.cases:,} | {len(design.findings)} "
        f"| {_cell(design.why)} |"
        for design in data.summary.designs
    ]
    if data.shown:
        lines += ["", "### Findings", ""]
    for shown in data.shown[:MOST_TRACES]:
        lines += _finding(shown)
    if len(data.shown) > MOST_TRACES:
        lines += [f"… and {len(data.shown) - MOST_TRACES} more in the folder `findings`.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _finding(shown: ShownFinding) -> list[str]:
    found = shown.finding
    fence = "~~~~"
    return [
        f"<details><summary>{_plain(found.design)}: {_plain(found.message)}</summary>",
        "",
        f"`{found.bucket}`",
        "",
        *([deaf(shown), ""] if shown.deaf else []),
        fence,
        shown.trace.rstrip().replace(fence, "~~~ ~"),
        fence,
        "",
        f"`{shown.command}`",
        "",
        "</details>",
        "",
    ]


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|").replace("\n", " ")
