"""Reports: valid in the eyes of those who read them, a browser among them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from attrs import evolve

from campaigns import Campaign
from tdxfuzz.abi.status import name_of_code
from tdxfuzz.abi.status_codes import SOFTWARE
from tdxfuzz.campaign.events import (
    Progressed,
    Stopped,
)
from tdxfuzz.campaign.report import EVERY, REPORTS, KeepReports, write_reports
from tdxfuzz.campaign.report.causes import causes
from tdxfuzz.campaign.report.data import Data, EventRecord, ShownFinding, gather
from tdxfuzz.campaign.report.html import html
from tdxfuzz.campaign.report.junit import junit
from tdxfuzz.campaign.report.markdown import markdown
from tdxfuzz.campaign.report.sarif import sarif
from tdxfuzz.campaign.report.since import (
    Reported,
    Reports,
)
from tdxfuzz.campaign.store import CutOff, StoredFinding
from tdxfuzz.campaign.summary import Summary
from tdxfuzz.case.visible import visible
from tdxfuzz.check import ALL_CHECKS, CHECKS, HOSTILE_CHECKS
from tdxfuzz.run.cut_off import CUT_OFF


def test_each_report_has_its_file(folder: Path) -> None:
    for file, _ in REPORTS.values():
        assert (folder / file).stat().st_size > 500


HOSTILE = "a|b <script>alert(1)</script> \u202e \x1b[31m \x00 \udcff ~~~~ `c` \n# head [x](y)"


@pytest.fixture
def hostile(data: Data) -> Data:
    """The same, with texts that users' code could have made."""
    shown = tuple(
        evolve(
            one,
            finding=evolve(
                one.finding, message=HOSTILE, bucket=f"{one.finding.check}/{HOSTILE}", design="hint"
            ),
            trace=HOSTILE,
            command=HOSTILE,
        )
        for one in data.shown[:1]
    )
    designs = (
        evolve(data.summary.designs[0], findings=tuple(one.finding for one in shown)),
        evolve(data.summary.designs[2], cut_off=CutOff("merged", HOSTILE, HOSTILE, "text")),
    )
    events = (EventRecord(1.0, "now", f"cut off merged: {HOSTILE}"),)
    summary = evolve(data.summary, designs=designs)
    return evolve(data, title=HOSTILE, summary=summary, shown=shown, events=events)


@pytest.mark.parametrize("report", [html, junit, sarif, markdown])
def test_no_text_of_a_user_breaks_a_report(
    hostile: Data, report: Callable[[Data], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Summary, "findings", [one.finding for one in hostile.shown])
    text = report(hostile)
    assert text.replace("\n", "").replace("…", "").isprintable()
    assert text.encode()
    if report is sarif:
        results = json.loads(text)["runs"][0]["results"]
        assert all(value.replace("\n", "").isprintable() for value in texts(results))
        return
    block = f"~~~~~\n{visible(HOSTILE, chr(10))}\n~~~~~"
    lines = text.replace(block, "").splitlines()
    assert not any("<script>" in line for line in lines if not line.startswith("``"))
    if report is markdown:
        (row,) = (line for line in text.splitlines() if line.startswith("| merged"))
        assert row.count("|") == 6
        assert not [line for line in text.splitlines() if line.startswith("# head")][1:]
    if report is junit:
        assert ElementTree.fromstring(text).find("script") is None


def texts(value: object) -> Iterator[str]:
    """All strings of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from (key, *texts(one))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def test_junit_has_a_test_for_each_check_of_each_design(data: Data) -> None:
    root = ElementTree.fromstring(junit(data))
    assert root.get("tests") == str(3 * len(CHECKS) + len(HOSTILE_CHECKS))
    failed = {
        (case.get("classname"), case.get("name"))
        for case in root.iter("testcase")
        if case.find("failure") is not None
    }
    assert failed == {(f"tdxfuzz.{one.finding.design}", one.finding.check) for one in data.shown}
    assert ("tdxfuzz.hint", "pamt-in-use") in failed
    assert root.get("failures") == str(len(failed))
    assert root.get("errors") == str(len(CHECKS))
    text = next(root.iter("failure")).text or ""
    path = text.rpartition("Reproduce with: tdxfuzz replay ")[2].split()[0]
    assert Path(path).is_file(), "a path from where the command runs"


_TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string"}},
    "additionalProperties": False,
}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
SUBSET = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "additionalProperties": False,
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "additionalProperties": False,
                                "properties": {
                                    "name": {"type": "string"},
                                    "version": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "id": {"type": "string"},
                                                "shortDescription": _TEXT,
                                                "help": _TEXT,
                                                "defaultConfiguration": {
                                                    "type": "object",
                                                    "properties": {"level": _LEVEL},
                                                    "additionalProperties": False,
                                                },
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": -1},
                                "level": _LEVEL,
                                "message": _TEXT,
                                "occurrenceCount": {"type": "integer", "minimum": 1},
                                "partialFingerprints": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string"},
                                },
                                "kind": {"const": "pass"},
                                "baselineState": {"enum": ["new", "unchanged", "absent"]},
                                "properties": {"type": "object"},
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "required": ["artifactLocation"],
                                                "additionalProperties": False,
                                                "properties": {
                                                    "artifactLocation": {
                                                        "type": "object",
                                                        "properties": {
                                                            "uri": {
                                                                "type": "string",
                                                                "format": "uri-reference",
                                                            }
                                                        },
                                                    },
                                                    "region": {
                                                        "type": "object",
                                                        "properties": {
                                                            "startLine": {
                                                                "type": "integer",
                                                                "minimum": 1,
                                                            }
                                                        },
                                                    },
                                                },
                                            }
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The part of the standard's schema (OASIS SARIF 2.1.0) that we use, stricter than it is: nothing
else may stand there. TDXFUZZ_SARIF_SCHEMA names a file with the whole of it, to be asked too."""


def test_the_page_has_the_code_of_a_status_and_any_status_that_has_none(data: Data) -> None:
    made_up = name_of_code(next(iter(SOFTWARE)) >> 32)
    calls = {"TDH.SYS.INIT": {"OPERAND_BUSY": 1, made_up: 2, "0x12345678": 3}}
    text = html(evolve(data, calls=calls))
    assert '<th title="0x80000200"><span class="up">OPERAND_BUSY</span>' in text
    assert f'<th title="{made_up}">' in text


def test_sarif_is_what_its_schema_says(data: Data) -> None:
    log = json.loads(sarif(data))
    jsonschema.validate(log, SUBSET)
    official = os.environ.get("TDXFUZZ_SARIF_SCHEMA")
    if official:
        jsonschema.validate(log, json.loads(Path(official).read_text("utf-8")))
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [*ALL_CHECKS, CUT_OFF]
    for result in run["results"]:
        assert list(ALL_CHECKS)[result["ruleIndex"]] == result["ruleId"]
    race = next(one for one in run["results"] if one["message"]["text"].startswith("hint:"))
    where = race["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "tdxfuzz/host/designs/hint.py"
    source = Path(__file__).parents[2] / where["artifactLocation"]["uri"]
    line = source.read_text("utf-8").splitlines()[where["region"]["startLine"] - 1]
    assert line.startswith("class Hint")


def test_sarif_says_how_results_stand_to_the_report_before(data: Data) -> None:
    """The fixture's folder has had one report, with the same findings."""

    def states(told: Data) -> list[str | None]:
        log = json.loads(sarif(told))
        jsonschema.validate(log, SUBSET)
        return [result.get("baselineState") for result in log["runs"][0]["results"]]

    count = len(data.shown)
    assert states(data) == ["unchanged"] * count
    assert states(evolve(data, baseline=None)) == [None] * count
    first, *others = data.shown
    newer = evolve(data, shown=(evolve(first, is_new=True), *others))
    assert states(newer) == ["new"] + ["unchanged"] * (count - 1)
    gone = Reported("then", (("merged", "refcount/-/-/-"), ("merged", "no-such-check/-/-/-")))
    assert states(evolve(data, baseline=gone)) == ["unchanged"] * count + ["absent"]
    fewer = json.loads(sarif(evolve(data, shown=tuple(others))))["runs"][0]["results"][-1]
    whole = json.loads(sarif(data))["runs"][0]["results"][0]
    assert fewer["baselineState"] == "absent"
    assert fewer["partialFingerprints"] == whole["partialFingerprints"]


def test_markdown_shows_verdicts_and_traces(data: Data) -> None:
    text = markdown(data)
    assert text.startswith(f"## {len(data.shown)} findings in 2 of 4 designs")
    assert re.search(r"^\| hint \| fail \| 160 \| 1 \|", text, re.MULTILINE)
    assert "^ pamt-in-use: CPU 1 removed the pair of A" in text
    assert "<script>" not in text


def test_an_empty_campaign_has_reports_too(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    with campaign.store() as store:
        data = gather(campaign.folder, store)
        assert len(write_reports(campaign.folder, store)) == len(REPORTS)
    assert "No finding in 2 designs: unknown" in html(data)
    assert "not hunted yet" in markdown(data)


def test_the_page_is_written_while_a_campaign_runs_and_says_so(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "c")
    now = [0.0]
    page = campaign.folder.root / "report.html"
    progress = Progressed(1.0, 10, 10.0, 1, 0, 0, 1, 1 << 20)
    with campaign.store() as store:
        keeps = KeepReports(campaign.folder, store, lambda: now[0])
        keeps(progress)
        assert not page.exists()
        now[0] = EVERY
        keeps(progress)
        assert "The campaign is running." in page.read_text("utf-8")
        first = page.stat().st_ino
        now[0] += EVERY - 1
        keeps(progress)
        assert page.stat().st_ino == first
        keeps(Stopped("enough", True))
    assert "The campaign is running." not in page.read_text("utf-8")
    assert 'http-equiv="refresh"' not in page.read_text("utf-8")


def finding(design: str, bucket: str, operations: int, is_new: bool = False) -> ShownFinding:
    stored = StoredFinding(
        design, bucket, f"said under {design}", 1, 1.0, 1, "", 9, 9, "text", operations, 1, 10
    )
    return ShownFinding(stored, "findings/x", "", "", "tdxfuzz replay x", is_new=is_new)


def test_findings_of_one_bucket_are_one_cause_and_the_smallest_is_shown(data: Data) -> None:
    pair = "unexpected-status/TDH.PHYMEM.PAMT.REMOVE/NO_PAMT_PAGE_PAIR/-"
    shown = (finding("v3", pair, 4), finding("v4", pair, 3), finding("v5", "refcount/-/-/x", 1))
    told = causes(evolve(data, shown=shown))
    assert [(cause.bucket, cause.designs) for cause in told] == [
        (pair, ["v3", "v4"]),
        ("refcount/-/-/x", ["v5"]),
    ]
    assert told[0].best.finding.design == "v4"
    new = causes(evolve(data, shown=(*shown[:2], evolve(shown[2], is_new=True))))
    assert new[0].bucket == "refcount/-/-/x"


def test_the_page_says_what_is_new_and_what_is_known(data: Data) -> None:
    pair = "unexpected-status/TDH.PHYMEM.PAMT.REMOVE/NO_PAMT_PAGE_PAIR/-"
    reports = Reports(Reported("b", ()), Reported("2026-11-29T17:03:00+00:00", ()))
    shown = (finding("v4", pair, 3, is_new=True), finding("v6", pair, 3))
    nothing = evolve(data.summary, designs=())
    text = html(evolve(data, summary=nothing, shown=shown, reports=reports))
    assert "1 finding new since the report of 2026-11-29 17:03 UTC." in " ".join(text.split())
    assert '<span class="badge">new</span> v4' in text
    assert "<h4>v6</h4>" in text
    known = "docs/findings.md, RFC shape, v2 to v5: two puts remove the pair twice"
    assert text.count(known) == 1
    assert 'href="#rule-unexpected-status"' in text
    assert "The rule unexpected-status is broken if:" in text
