"""The events of a campaign. Listeners get them, and are independent of each other."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen


@frozen
class Started:
    """A coordinator took up the folder; ``resumed`` says it was not the first."""

    folder: str
    designs: tuple[str, ...]
    workers: int
    seed: int
    resumed: bool


@frozen
class Progressed:
    """A hunt was counted. Totals are of the whole campaign; ``rss`` is in bytes, of
    this process and all workers.
    """

    seconds: float
    cases: int
    cases_per_second: float
    features: int
    findings: int
    unshrunk: int
    workers: int
    rss: int


@frozen
class FindingMet:
    """A bucket was met for the first time, and written as it was found."""

    design: str
    bucket: str
    message: str
    path: str
    cases: int


@frozen
class FindingShrunk:
    """A finding was shrunk, written again, and replayed ``of`` times."""

    design: str
    bucket: str
    path: str
    operations: int
    preemptions: int
    reliable: int
    of: int


@frozen
class FindingKept:
    """A finding could not be shrunk: what was found first stays."""

    design: str
    bucket: str
    why: str


@frozen
class WorkerLost:
    """A worker died or went silent; what it was doing is given out again."""

    task: str
    why: str


@frozen
class DesignCutOff:
    """A design is hunted no more: it raised, hangs, or eats memory. ``path`` is a file that shows
    it, "" if there is none.
    """

    design: str
    why: str
    path: str = ""


@frozen
class EntrySetAside:
    """A file of the corpus cannot be read, and was moved out of the way."""

    path: str
    why: str


@frozen
class CorpusMerged:
    """Files that were put into the corpus folder have been run and counted."""

    entries: int


@frozen
class Stopped:
    """The coordinator ends, all that it was told is in the store."""

    why: str
    complete: bool


Event = (
    Started
    | Progressed
    | FindingMet
    | FindingShrunk
    | FindingKept
    | WorkerLost
    | DesignCutOff
    | EntrySetAside
    | CorpusMerged
    | Stopped
)
Listener = Callable[[Event], None]
