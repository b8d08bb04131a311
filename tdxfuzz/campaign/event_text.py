"""What happened in a campaign, as a sentence: for the console, and for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import cattrs

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
from tdxfuzz.repro.words import counted

KINDS: Mapping[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
"""Events by the name under which the store keeps them."""


def event_text(event: Event) -> str:
    """The sentence, without a capital letter and a full stop."""
    match event:
        case Started():
            how = "continuing the campaign in" if event.resumed else "starting a campaign in"
            return (
                f"{how} {event.folder}: {counted(len(event.designs), 'design')}, "
                f"{counted(event.workers, 'worker')}, seed {event.seed}"
            )
        case Progressed():
            return f"{event.cases:,} cases are done"
        case FindingMet():
            return f"found {event.design}: {event.bucket} after {event.cases:,} cases"
        case FindingShrunk():
            return (
                f"shrunk {event.design}: {event.bucket}: {counted(event.operations, 'operation')}, "
                f"{counted(event.preemptions, 'preemption')}, replayed {event.reliable} of "
                f"{event.of}: {event.path}"
            )
        case FindingKept():
            return f"not shrunk {event.design}: {event.bucket}: {event.why}"
        case WorkerLost():
            return f"worker lost: {event.task}: {event.why}; its task is repeated"
        case DesignCutOff():
            file = f"; reproducer: {event.path}" if event.path else ""
            return f"cut off {event.design}: {event.why}{file}"
        case EntrySetAside():
            return f"set aside {event.path}: {event.why}"
        case CorpusMerged():
            return f"merged {counted(event.entries, 'corpus file')}"
        case Stopped():
            rest = "" if event.complete else "; the same command continues with what is left"
            return f"stopped: {event.why}{rest}"


def kept_event_text(kind: str, fields: Mapping[str, object]) -> str:
    """The sentence of an event that the store kept; the name of its kind, if this version does not
    know it.
    """
    try:
        return event_text(cattrs.structure(fields, KINDS[kind]))
    except (KeyError, TypeError, ValueError, cattrs.BaseValidationError):
        return f"an event of another version: {kind}"
