"""What a page remembers: reports before it, events, first and last sightings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from attrs import asdict

from campaigns import Campaign
from tdxfuzz.campaign.event_text import KINDS, event_text, kept_event_text
from tdxfuzz.campaign.events import (
    CorpusMerged,
    DesignCutOff,
    EntrySetAside,
    FindingKept,
    FindingMet,
    FindingShrunk,
    Progressed,
    Started,
    Stopped,
    WorkerLost,
)
from tdxfuzz.campaign.report import write_reports
from tdxfuzz.campaign.report.since import (
    FILE,
    Reports,
    read_reports,
    remember,
    reported,
)
from tdxfuzz.campaign.report.words import day
from tdxfuzz.campaign.task import Sighting


def test_a_report_with_the_same_findings_keeps_its_marks(tmp_path: Path) -> None:
    first = Reports().then(reported("1", [("v4", "a")]))
    assert not first.is_new(("v4", "a"))
    second = first.then(reported("2", [("v4", "a"), ("v4", "b")]))
    again = second.then(reported("3", [("v4", "b"), ("v4", "a")]))
    for one in (second, again):
        assert one.is_new(("v4", "b"))
        assert not one.is_new(("v4", "a"))
    remember(tmp_path, again)
    assert read_reports(tmp_path) == again


@pytest.mark.parametrize("text", ["", "[]", "{", '{"last": 3}', "[" * 100_000, "\ud800"])
def test_a_memory_of_reports_that_is_none_is_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, "utf-8", "surrogatepass")
    assert read_reports(tmp_path) == Reports()


def test_a_page_of_a_running_campaign_is_no_report(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    with campaign.store() as store:
        write_reports(campaign.folder, store, ["markdown"], running=True)
        assert not (campaign.folder.root / FILE).exists()
        write_reports(campaign.folder, store, ["markdown"])
        assert (campaign.folder.root / FILE).is_file()


EVENTS = (
    Started("c", ("v4", "v5"), 2, 1, True),
    Progressed(1.0, 10, 10.0, 1, 0, 0, 1, 1),
    FindingMet("v4", "a/b", "m", "p", 1000),
    FindingShrunk("v4", "a/b", "p", 2, 1, 10, 10),
    FindingKept("v4", "a/b", "a worker hung"),
    WorkerLost("hunt 3", "killed"),
    DesignCutOff("v4", "hangs"),
    EntrySetAside("x", "not TOML"),
    CorpusMerged(3),
    Stopped("enough", False),
)


def test_each_event_is_a_sentence_in_the_console_and_on_the_page() -> None:
    assert {type(event).__name__ for event in EVENTS} == set(KINDS)
    for event in EVENTS:
        told = kept_event_text(type(event).__name__, json.loads(json.dumps(asdict(event))))
        assert told == event_text(event)
        assert not re.search(r"[\[\]{}]|True|False|None", told)
    assert kept_event_text("Started", {"folder": 3}) == "an event of another version: Started"
    assert kept_event_text("<b>", {}) == "an event of another version: <b>"


def test_first_and_last_sighting_are_kept(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    sighting = Sighting("a/b/c/d", "m", "text", 2, 1, 5, 1)
    with campaign.store() as store:
        for cases in (5, 70):
            with store.transaction():
                store.sight("v4", sighting, cases, 1.0)
        (found,) = store.findings()
    assert (found.cases, found.last_cases, found.sightings) == (5, 70, 2)
    assert found.first_wall <= found.last_wall
    assert day(found.last_wall).endswith(" UTC")
    assert day("never") == "never"
