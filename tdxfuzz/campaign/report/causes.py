"""Findings of one bucket are one cause, whatever the design: what a page shows together."""

from __future__ import annotations

from attrs import frozen

from tdxfuzz.campaign.report.data import Data, ShownFinding


@frozen
class Cause:
    """A bucket, and the designs that show it, the smallest reproducer first."""

    bucket: str
    shown: tuple[ShownFinding, ...]

    @property
    def check(self) -> str:
        """The id of the check that fires."""
        return self.best.finding.check

    @property
    def best(self) -> ShownFinding:
        """The smallest reproducer."""
        return self.shown[0]

    @property
    def designs(self) -> list[str]:
        """Their names, in the order of the campaign's findings."""
        return sorted(one.finding.design for one in self.shown)

    @property
    def is_new(self) -> bool:
        """Whether some design shows it that did not in the last report."""
        return any(one.is_new for one in self.shown)


def causes(data: Data) -> list[Cause]:
    """All of a campaign: what is new first, then what the most designs show."""
    by_bucket: dict[str, list[ShownFinding]] = {}
    for one in data.shown:
        by_bucket.setdefault(one.finding.bucket, []).append(one)
    told = [Cause(bucket, tuple(sorted(shown, key=_size))) for bucket, shown in by_bucket.items()]
    return sorted(told, key=lambda cause: (not cause.is_new, -len(cause.shown), cause.bucket))


def _size(shown: ShownFinding) -> tuple[bool, int, int, str]:
    found = shown.finding
    return found.shrunk is None, found.operations or 0, found.preemptions or 0, found.design
