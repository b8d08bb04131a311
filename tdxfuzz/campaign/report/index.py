"""The page of many campaigns: a row for each, with a link to its own page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from attrs import frozen

from tdxfuzz import __version__
from tdxfuzz.campaign.report.data import Data
from tdxfuzz.campaign.report.html import environment
from tdxfuzz.campaign.report.words import day
from tdxfuzz.campaign.summary import ERROR, FAIL, PASS, UNKNOWN
from tdxfuzz.repro.words import counted

_LOOKS = {PASS: "clean", FAIL: "found", ERROR: "found", UNKNOWN: "never"}


@frozen
class IndexRow:
    """A campaign, and where its page is, as the index sees it."""

    data: Data
    link: str

    @property
    def kind(self) -> str:
        """How its verdict looks."""
        return _LOOKS[self.data.summary.verdict]

    @property
    def new(self) -> int:
        """Findings that its last report did not have."""
        return sum(shown.is_new for shown in self.data.shown)

    @property
    def last(self) -> str:
        """When its last event was, or "" if it has none."""
        return self.data.events[0].wall if self.data.events else ""


def index(pages: Sequence[tuple[Path, Data]], at: Path) -> str:
    """The text of the page.

    Args:
        pages: each campaign with its own page.
        at: where the index will be: links start there, so that all may be moved together.
    """
    rows = [IndexRow(data, _link(page, at)) for page, data in pages]
    return (
        environment()
        .get_template("index.html.j2")
        .render(rows=rows, buckets=_buckets(rows), counted=counted, day=day, version=__version__)
        + "\n"
    )


def _buckets(rows: Sequence[IndexRow]) -> list[tuple[str, list[str], list[IndexRow]]]:
    """Each bucket with the designs that show it and the campaigns that met it; what the most
    designs show stands first.
    """
    designs: dict[str, set[str]] = {}
    met: dict[str, list[IndexRow]] = {}
    for row in rows:
        for shown in row.data.shown:
            designs.setdefault(shown.finding.bucket, set()).add(shown.finding.design)
            known = met.setdefault(shown.finding.bucket, [])
            if row not in known:
                known.append(row)
    order = sorted(designs, key=lambda bucket: (-len(designs[bucket]), bucket))
    return [(bucket, sorted(designs[bucket]), met[bucket]) for bucket in order]


def _link(page: Path, at: Path) -> str:
    return quote(Path(os.path.relpath(page.resolve(), at.resolve().parent)).as_posix())
