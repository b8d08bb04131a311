"""Reports: each reads the same :class:`~tdxfuzz.campaign.report.data.Data` and knows no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from tdxfuzz.campaign.events import Event, Progressed, Stopped
from tdxfuzz.campaign.folder import Folder
from tdxfuzz.campaign.report.data import Data, gather
from tdxfuzz.campaign.report.junit import junit
from tdxfuzz.campaign.report.markdown import markdown
from tdxfuzz.campaign.report.sarif import sarif
from tdxfuzz.campaign.report.since import remember
from tdxfuzz.campaign.store import Store
from tdxfuzz.repro.write import write_whole

HTML = "html"
EVERY = 30.0
NEEDS = "the extra [report]: pip install 'tdxfuzz[report]'"


def _html(data: Data) -> str:
    # The only one that needs a library which not everybody has.
    from tdxfuzz.campaign.report.html import html

    return html(data)


REPORTS: dict[str, tuple[str, Callable[[Data], str]]] = {
    HTML: ("report.html", _html),
    "junit": ("junit.xml", junit),
    "sarif": ("report.sarif", sarif),
    "markdown": ("summary.md", markdown),
}
"""By name: the file in a campaign's folder, and what writes it."""


def available(name: str) -> bool:
    """Whether what a report needs is installed."""
    return name != HTML or find_spec("jinja2") is not None


def write_reports(
    folder: Folder,
    store: Store,
    names: Iterable[str] = REPORTS,
    running: bool = False,
    out: Path | None = None,
) -> list[Path]:
    """Write reports into a folder, that of the campaign if no other is named; their paths.
    ``running``: the campaign goes on, and they say so.

    Raises:
        StoreError: the store cannot be read.
        OSError: a file cannot be written.
    """
    return write_of(gather(folder, store, running), folder, names, out)


def write_of(
    data: Data, folder: Folder, names: Iterable[str], out: Path | None = None
) -> list[Path]:
    """Write reports of what was gathered; their paths. One that goes elsewhere than to the
    campaign's folder does not count for what the next one calls new.

    Raises:
        OSError: a file cannot be written.
    """
    paths = []
    for name in names:
        file, render = REPORTS[name]
        paths.append((out or folder.root) / file)
        write_whole(render(data), paths[-1])
    if not data.running and out is None:
        remember(folder.root, data.reports)
    return paths


def write_index(pages: Sequence[tuple[Folder, Data]], at: Path) -> None:
    """Write the page of many campaigns, whose own pages are in their folders.

    Raises:
        OSError: the file cannot be written.
    """
    # As above: it needs what not everybody has.
    from tdxfuzz.campaign.report.index import index

    file, _ = REPORTS[HTML]
    write_whole(index([(folder.root / file, data) for folder, data in pages], at), at)


class KeepReports:
    """Listens to a campaign: writes the page every :data:`EVERY` seconds while it runs, and what
    reports there can be when it stops.

    Args:
        folder: of the campaign.
        store: its store.
        clock: seconds, from any beginning.
    """

    def __init__(
        self, folder: Folder, store: Store, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._store = store
        self._clock = clock
        self._written = clock()

    def __call__(self, event: Event) -> None:
        """One event."""
        if isinstance(event, Stopped):
            write_reports(self._folder, self._store, filter(available, REPORTS))
        elif isinstance(event, Progressed) and self._clock() - self._written >= EVERY:
            if available(HTML):
                write_reports(self._folder, self._store, [HTML], running=True)
            # From now on: writing it may have taken a while.
            self._written = self._clock()
