"""What reports are made of: the summary, how it went, and each finding run once more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from shlex import quote

from attrs import evolve, field, frozen

from tdxfuzz.abi import BY_NUMBER
from tdxfuzz.abi.status import name_of_code
from tdxfuzz.campaign.event_text import kept_event_text
from tdxfuzz.campaign.folder import Folder
from tdxfuzz.campaign.prints import nothing_printed
from tdxfuzz.campaign.report.since import Reported, Reports, read_reports, reported
from tdxfuzz.campaign.settings import Settings, load
from tdxfuzz.campaign.store import Store, StoredFinding
from tdxfuzz.campaign.summary import Summary, summarise
from tdxfuzz.repro.columns import columns
from tdxfuzz.repro.errors import ReproducerError
from tdxfuzz.repro.known import known_text
from tdxfuzz.repro.read import parse
from tdxfuzz.repro.svg import NARROW, svg
from tdxfuzz.run.cut_off import CUT_OFF
from tdxfuzz.run.session import checks_of, run
from tdxfuzz.sim import HarnessError

MOST_EVENTS = 60


@frozen
class ShownFinding:
    """A finding with its trace and picture; ``path`` is relative to the campaign's folder,
    and ``command`` names it from the current one.

    ``narrow`` is the picture for a phone. ``deaf`` are the checks that did not listen: what they
    would have found first may be the cause. ``is_new``: the last report did not have it.
    """

    finding: StoredFinding
    path: str
    trace: str
    picture: str
    command: str
    narrow: str = ""
    deaf: tuple[str, ...] = ()
    is_new: bool = False

    @property
    def known(self) -> str:
        """Which section of docs/findings.md describes it, or ""."""
        return known_text(self.finding.design, self.finding.bucket)


@frozen
class Sample:
    """How it stood at a time; ``seconds`` of work since the beginning, ``rss`` in bytes."""

    seconds: float
    cases: int
    steps: int
    features: int
    findings: int
    workers: int
    rss: int


@frozen
class EventRecord:
    """An event: when, and a sentence."""

    seconds: float
    wall: str
    text: str


@frozen
class Data:
    """All that reports show. ``calls`` has SEAMCALLs by leaf and status; ``running``: the campaign
    goes on. ``reports`` are this one and the one before it; ``baseline`` is what this one is
    compared with, None if it is the first.
    """

    title: str
    settings: Settings
    summary: Summary
    shown: tuple[ShownFinding, ...]
    samples: tuple[Sample, ...]
    calls: Mapping[str, Mapping[str, int]]
    events: tuple[EventRecord, ...]
    running: bool = False
    reports: Reports = field(factory=Reports)
    baseline: Reported | None = None

    @property
    def new_since(self) -> str:
        """When the report was written that new findings were not in, or "" in the first one."""
        return "" if self.reports.before is None else self.reports.before.at


def gather(folder: Folder, store: Store, running: bool = False) -> Data:
    """Read a campaign; ``running``: it goes on.

    Raises:
        StoreError: it cannot be read.
    """
    summary = summarise(store)
    settings = store.settings() or Settings(())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    keys = [(found.design, found.bucket) for found in summary.findings]
    earlier = read_reports(folder.root)
    reports = earlier.then(reported(now, keys))
    return Data(
        title=folder.root.resolve().name,
        settings=settings,
        summary=summary,
        shown=tuple(
            evolve(_shown(found, settings, folder), is_new=reports.is_new(key))
            for found, key in zip(summary.findings, keys, strict=True)
        ),
        samples=tuple(
            # The columns have the types of the schema, which mypy cannot see.
            Sample(*row)  # type: ignore[arg-type]
            for row in store.query("SELECT * FROM samples ORDER BY seconds")
        ),
        calls=_calls(store),
        events=tuple(
            EventRecord(
                float(str(seconds)), str(wall), kept_event_text(str(kind), json.loads(str(fields)))
            )
            for seconds, wall, kind, fields in store.query(
                "SELECT seconds, wall, kind, fields FROM events ORDER BY id DESC LIMIT ?",
                MOST_EVENTS,
            )
        ),
        running=running,
        reports=reports,
        baseline=reports.before or earlier.last,
    )


def _calls(store: Store) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    rows = store.query("SELECT leaf, code, sum(calls) FROM calls GROUP BY leaf, code")
    for leaf, code, calls in sorted((int(str(a)), int(str(b)), int(str(c))) for a, b, c in rows):
        table.setdefault(BY_NUMBER[leaf].name, {})[name_of_code(code)] = calls
    return table


def _shown(found: StoredFinding, settings: Settings, folder: Folder) -> ShownFinding:
    subject = settings.subject(found.design)
    path = folder.finding(found.design, found.bucket).relative_to(folder.root)
    # A path from where the command runs, which need not be where the report is.
    command = f"tdxfuzz replay {quote(str(folder.root / path))}{subject.options}"
    if found.kept_because is not None:
        # It was not shrunk, for a worker hung over it, say: it is not for us to run.
        return ShownFinding(found, str(path), f"not shrunk: {found.kept_because}\n", "", command)
    if found.check == CUT_OFF:
        return ShownFinding(found, str(path), f"{found.message}\n", "", command)
    try:
        case = parse(found.text).case
        with nothing_printed():
            again = run(case, load(subject), traced=True)
    except (ReproducerError, HarnessError, OSError, MemoryError, RecursionError) as error:
        return ShownFinding(found, str(path), f"{error}\n", "", command)
    checks = checks_of(found.design)
    deaf = tuple(check for check in checks if case.checks and check not in case.checks)
    narrow = svg(again, NARROW)
    return ShownFinding(found, str(path), columns(again), svg(again), command, narrow, deaf)
