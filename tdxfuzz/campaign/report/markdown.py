"""Markdown for the page of a CI job."""

from __future__ import annotations

from tdxfuzz.campaign.report.data import Data, ShownFinding
from tdxfuzz.campaign.report.words import deaf, headline, what_clean_means
from tdxfuzz.repro.markup import markdown_block, markdown_code, markdown_text

MOST_TRACES = 10
"""A job's page holds a megabyte; the rest is in the folder."""


def markdown(data: Data) -> str:
    """The text of the page."""
    lines = [f"## {headline(data)}", "", what_clean_means(data), ""]
    lines += ["| design | verdict | cases | buckets | |", "|---|---|---:|---:|---|"]
    lines += [
        f"| {markdown_text(design.name)} | {design.verdict} | {design.cases:,} "
        f"| {len(design.findings)} | {markdown_text(design.why)} |"
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
    title = f"{markdown_text(found.design)}: {markdown_text(found.message)}"
    return [
        f"<details><summary>{title}</summary>",
        "",
        markdown_code(found.bucket),
        "",
        *([markdown_text(deaf(shown)), ""] if shown.deaf else []),
        *markdown_block(shown.trace),
        "",
        markdown_code(shown.command),
        "",
        "</details>",
        "",
    ]
