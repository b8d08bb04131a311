"""What is new since the last report: a file beside the page remembers what was reported when.

A report with the same findings as the one before is that report again: what was new there is still
new. So a page that is written twice does not lose its marks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cattrs
from attrs import asdict, frozen

from tdxfuzz.repro.write import write_whole

FILE = "reported.json"

Key = tuple[str, str]
"""A design and a bucket."""


@frozen
class Reported:
    """The findings of a report, and when it was written (UTC, ISO 8601)."""

    at: str
    findings: tuple[Key, ...]


@frozen
class Reports:
    """The last report, and the one before it that had other findings."""

    last: Reported | None = None
    before: Reported | None = None

    def then(self, now: Reported) -> Reports:
        """After one more report."""
        if self.last is not None and set(self.last.findings) == set(now.findings):
            return self
        return Reports(now, self.last)

    def is_new(self, key: Key) -> bool:
        """Whether a finding was not in the report before; nothing is new in a first report."""
        return self.before is not None and key not in self.before.findings


def read_reports(root: Path) -> Reports:
    """What a campaign's folder remembers; nothing, if its file is missing or is not ours."""
    try:
        return cattrs.structure(json.loads((root / FILE).read_text("utf-8")), Reports)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, cattrs.BaseValidationError):
        return Reports()


def remember(root: Path, reports: Reports) -> None:
    """Write it down.

    Raises:
        OSError: the file cannot be written.
    """
    write_whole(json.dumps(asdict(reports), indent=1) + "\n", root / FILE)


def reported(at: str, findings: Iterable[Key]) -> Reported:
    """A report of these findings."""
    return Reported(at, tuple(sorted(findings)))
