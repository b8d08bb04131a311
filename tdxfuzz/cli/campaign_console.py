"""The console of a campaign: a status line, and a line for each event."""

from __future__ import annotations

from tdxfuzz.campaign.events import (
    CorpusMerged,
    DesignCutOff,
    EntrySetAside,
    Event,
    FindingKept,
    FindingMet,
    FindingShrunk,
    Progressed,
    Started,
    Stopped,
    WorkerLost,
)
from tdxfuzz.cli.output import Output
from tdxfuzz.repro.words import counted

MEBI = 1 << 20


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
        text, style = _line(event)
        self._output.line(text, style=style)

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


def _line(event: Event) -> tuple[str, str]:
    """The line of an event, and its style."""
    match event:
        case Started():
            how = "continuing the campaign in" if event.resumed else "starting a campaign in"
            return (
                f"{how} {event.folder}: {counted(len(event.designs), 'design')}, "
                f"{counted(event.workers, 'worker')}, seed {event.seed}"
            ), ""
        case FindingMet():
            return f"found {event.design}: {event.bucket} after {event.cases:,} cases", "red"
        case FindingShrunk():
            return (
                f"shrunk {event.design}: {event.bucket}: {counted(event.operations, 'operation')}, "
                f"{counted(event.preemptions, 'preemption')}, replayed {event.reliable} of "
                f"{event.of}: {event.path}"
            ), ""
        case FindingKept():
            return f"not shrunk {event.design}: {event.bucket}: {event.why}", "yellow"
        case WorkerLost():
            return f"worker lost: {event.task}: {event.why}; its task is repeated", "yellow"
        case DesignCutOff():
            file = f"; reproducer: {event.path}" if event.path else ""
            return f"cut off {event.design}: {event.why}{file}", "magenta"
        case EntrySetAside():
            return f"set aside {event.path}: {event.why}", "yellow"
        case CorpusMerged():
            return f"merged {counted(event.entries, 'corpus file')}", ""
        case Stopped():
            rest = "" if event.complete else "; the same command continues with what is left"
            return f"stopped: {event.why}{rest}", ""
        case _:
            raise AssertionError(event)
