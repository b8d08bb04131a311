"""The console of a campaign: a status line, and a line for each event."""

from __future__ import annotations

from tdxfuzz.campaign.event_text import event_text
from tdxfuzz.campaign.events import (
    DesignCutOff,
    EntrySetAside,
    Event,
    FindingKept,
    FindingMet,
    Progressed,
    WorkerLost,
)
from tdxfuzz.cli.output import Output
from tdxfuzz.repro.words import counted

MEBI = 1 << 20

STYLES: dict[type[Event], str] = {
    FindingMet: "red",
    FindingKept: "yellow",
    WorkerLost: "yellow",
    EntrySetAside: "yellow",
    DesignCutOff: "magenta",
}


class CampaignConsole:
    """Listens to a campaign, and prints. ``of`` is its time limit in seconds, if it has one."""

    def __init__(self, output: Output, of: float | None = None) -> None:
        self._output = output
        self._of = of

    def __call__(self, event: Event) -> None:
        """One event."""
        if isinstance(event, Progressed):
            self._output.progress(self._status(event))
            return
        self._output.line(event_text(event), style=STYLES.get(type(event), ""))

    def _status(self, event: Progressed) -> str:
        of = "" if self._of is None else f" of {clock(self._of)}"
        waiting = f" ({event.unshrunk} to shrink)" if event.unshrunk else ""
        return (
            f"{clock(event.seconds)}{of}: {event.cases:,} cases, "
            f"{event.cases_per_second:,.0f}/s, {counted(event.features, 'feature')}, "
            f"{counted(event.findings, 'finding')}{waiting}, "
            f"{counted(event.workers, 'worker')}, {event.rss // MEBI:,} MB"
        )


def clock(seconds: float) -> str:
    """``"1:02:03"``, ``"2:03"``."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
